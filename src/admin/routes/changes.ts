/** Routes that change endpoints, or preview a change. */

import { z } from '@hono/zod-openapi';
import { changeSchema, planSchema, validateSchema } from '../../answers/changes.ts';
import type { ChangeAnswer } from '../../control/contract/answers.ts';
import type { ChangeRequests } from '../../control/contract/change-requests.ts';
import type { ControlPlane } from '../../control/contract/control-plane.ts';
import type { NodeReads } from '../../control/contract/node-reads.ts';
import { endpointPatchSchema, newEndpointSchema } from '../../endpoint/keys/form-schemas.ts';
import { toPublicEndpoint } from '../../endpoint/schema.ts';
import { FluxError } from '../../kernel/errors.ts';
import { etagOf } from '../http/request.ts';
import { type Call, controlRoute, type Reply, type Route } from '../http/route.ts';

const TAG = 'Endpoints';
/** Room for more than 500 endpoints with long rules. */
export const IMPORT_BYTES_MAX = 16 * 1024 * 1024;
const reason = z.string().max(1000).optional().openapi({ description: 'Reason for the history. X-Reason does the same' });
export const targetKeys = {
  port: z.number().int().min(1).max(65535).optional().openapi({ description: 'The endpoint by its port, or' }),
  id: z.string().optional().openapi({ description: 'the endpoint by its id' }),
};
const changeErrors = [404, 409, 412, 422, 503];

type Change = (body: unknown, call: Call) => Promise<ChangeAnswer>;

function changeRoute(name: string, summary: string, statuses: number[], body: Route['body'] & object, change: Change): Route {
  const path = `/api/endpoints/${name}`;
  return controlRoute(
    {
      method: 'post',
      path,
      aliases: [`/endpoints/${name}`],
      tag: TAG,
      summary,
      statuses,
      body,
      change: true,
      answer: { data: changeSchema },
    },
    async (input, call) => changeReply(await change(input, call)),
  );
}

function changeReply(answer: ChangeAnswer): Reply {
  const data = { ...answer, endpoint: toPublicEndpoint(answer.endpoint) };
  return { data, headers: { etag: etagOf(answer.revision) } };
}

/** `If-Match: *` on an add demands an endpoint that exists already, so the add can only fail. */
function refuseMustExist(reads: NodeReads, body: unknown, call: Call): void {
  const { port, id } = body as { port?: unknown; id?: unknown };
  const exists = reads.list().some(({ endpoint }) => endpoint.port === port || endpoint.id === id);
  if (call.mustExist && !exists) throw new FluxError('revision-mismatch', 'If-Match: * was sent, but there is no such endpoint');
}

function enabling(changes: ChangeRequests, enabled: boolean): Change {
  return (body, call) => changes.setEnabled(enabled, body, call.context);
}

/** Options of every change. */
export const changeOptions = {
  drainMs: z
    .number()
    .int()
    .min(0)
    .max(3_600_000)
    .optional()
    .openapi({ description: 'Milliseconds over which the clients of stopped listeners are disconnected' }),
  drainRate: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .openapi({ description: 'Clients to disconnect a second, in place of drainMs' }),
  redirect: z
    .string()
    .min(1)
    .max(1000)
    .optional()
    .openapi({ description: 'Server Reference that sends disconnected MQTT 5 clients to another server (0x9C)' }),
  force: z.boolean().optional().openapi({ description: 'Allows to remove or disable the default endpoint' }),
  reason,
};
const newPort = z.number().int().min(1).max(65535).optional().openapi({ description: 'New port of the endpoint' });
const targetSchema = z.object({ ...targetKeys, ...changeOptions });

const updateKeys = { newPort, ...changeOptions };

const addBody = { schema: z.intersection(newEndpointSchema, z.object(changeOptions)), example: { port: 1884, maxConnectionSize: 5000 } };
const updateBody = {
  schema: z.intersection(endpointPatchSchema, z.object(updateKeys)),
  example: { port: 1884, maxConnectionSize: 10000, reason: 'more devices' },
};
const removeBody = { schema: targetSchema, example: { port: 1884, drainMs: 5000 } };
const switchBody = { schema: targetSchema, example: { port: 1884 } };
const planBody = {
  schema: z.intersection(
    endpointPatchSchema,
    z.object({
      ...updateKeys,
      action: z.enum(['add', 'update', 'remove', 'enable', 'disable', 'rollback', 'import']),
      revision: z.number().int().min(0).optional().openapi({ description: 'For a rollback' }),
      configs: z.array(newEndpointSchema).optional().openapi({ description: 'For an import' }),
      mode: z.enum(['merge', 'replace']).optional().openapi({ description: 'For an import' }),
    }),
  ),
  example: { action: 'update', port: 1884, useWebsocket: true },
};
const validateBody = { schema: newEndpointSchema, example: { port: 1884, maxConnectionSize: 5000 } };
export const changeRoutes = ({ changes, reads }: Pick<ControlPlane, 'changes' | 'reads'>): Route[] => [
  changeRoute('add', 'Adds an endpoint; only `port` is required', [409, 412, 422, 503], addBody, (body, call) => {
    refuseMustExist(reads, body, call);
    return changes.add(body, call.context);
  }),
  changeRoute('update', 'Changes the given keys of an endpoint; `null` sets a default', changeErrors, updateBody, (body, call) =>
    changes.update(body, call.context),
  ),
  changeRoute('remove', 'Removes an endpoint', changeErrors, removeBody, (body, call) => changes.remove(body, call.context)),
  changeRoute('enable', 'Lets an endpoint listen again', changeErrors, switchBody, enabling(changes, true)),
  changeRoute('disable', 'Keeps an endpoint, but stops listening', changeErrors, switchBody, enabling(changes, false)),
  controlRoute(
    {
      method: 'post',
      path: '/api/endpoints/plan',
      aliases: ['/endpoints/plan'],
      tag: TAG,
      summary: 'Previews a change; changes nothing',
      statuses: [404, 409, 422],
      bodyMaxBytes: IMPORT_BYTES_MAX,
      file: 'document',
      body: planBody,
      change: false,
      answer: { data: planSchema },
    },
    async (body, call) => ({ data: await changes.plan(body, call.context) }),
  ),
  controlRoute(
    {
      method: 'post',
      path: '/api/endpoints/validate-config',
      aliases: ['/endpoints/validate-config'],
      tag: TAG,
      summary: 'Checks the form of an endpoint without adding it',
      body: validateBody,
      change: false,
      answer: { data: validateSchema },
    },
    async (body) => ({ data: await changes.validate(body) }),
  ),
];
