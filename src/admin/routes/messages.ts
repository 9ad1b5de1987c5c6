/** Routes about messages and clients, in FluxMQ's form: publish, check, close, clients. */

import { z } from '@hono/zod-openapi';
import { clientPageSchema, closedSchema, locationSchema } from '../../answers/node.ts';
import type { ControlPlane } from '../../control/contract/control-plane.ts';
import { checkTopicName } from '../../mqtt/topic.ts';
import { actionRoute, askRoute, type Route, readRoute } from '../http/route.ts';
import { idQuery, queryInteger, TOPIC_NAME_EXPECTED } from '../http/schemas.ts';

const TAG = 'Messages and clients';

const base64 = z.string().regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, 'expected base64');
const encoding = z.enum(['plain', 'base64']).optional().openapi({ description: 'Encoding of payload or message; default plain (UTF-8)' });
const namespace = z.string().min(1).max(128).openapi({ description: 'Default: default', example: 'default' });
const ids = z
  .array(z.string().min(1).max(65535))
  .min(1)
  .max(1000)
  .openapi({ description: 'Client identifiers', example: ['sensor-1'] });

const topicName = z.string().refine(checkTopicName, TOPIC_NAME_EXPECTED);

const publishSchema = z
  .strictObject({
    topic: topicName.openapi({ example: 'sensors/1/temperature' }),
    payload: z.string().optional().openapi({ description: 'One of payload, message, payloadBase64' }),
    message: z.string().optional(),
    payloadBase64: base64.optional(),
    encoding,
    payload_encoding: encoding,
    qos: z.union([z.literal(0), z.literal(1), z.literal(2)], { error: 'expected 0, 1 or 2' }).default(0),
    retain: z.boolean().default(false),
    namespace: namespace.default('default'),
  })
  .superRefine((body, context) => {
    const given = [body.payload, body.message, body.payloadBase64].filter((value) => value !== undefined);
    if (given.length !== 1)
      context.addIssue({ code: 'custom', path: ['payload'], message: 'give one of payload, message and payloadBase64' });
    if (body.encoding !== undefined && body.payload_encoding !== undefined) {
      context.addIssue({ code: 'custom', path: ['encoding'], message: 'give either encoding or payload_encoding' });
    }
    const text = body.payload ?? body.message;
    if (text !== undefined && isBase64(body) && !base64.safeParse(text).success) {
      context.addIssue({ code: 'custom', path: [body.payload === undefined ? 'message' : 'payload'], message: 'expected base64' });
    }
  })
  .openapi('Publish');

function isBase64(body: { encoding?: string | undefined; payload_encoding?: string | undefined }): boolean {
  return (body.encoding ?? body.payload_encoding) === 'base64';
}

function payloadOf(body: z.output<typeof publishSchema>): Uint8Array {
  if (body.payloadBase64 !== undefined) return Buffer.from(body.payloadBase64, 'base64');
  return Buffer.from(body.payload ?? body.message ?? '', isBase64(body) ? 'base64' : 'utf8');
}

const clientsSchema = z.strictObject({ ids, namespace: namespace.optional() });

const choice = {
  node: z.string().min(1).max(256).optional().openapi({ description: 'Only the node of this name; default: all nodes of the cluster' }),
  local: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional()
    .openapi({ description: 'true: only the node that answers' }),
};
const nodeQuery = z.object(choice);

export const messageRoutes = ({ clients }: Pick<ControlPlane, 'clients'>): Route[] => [
  actionRoute(
    {
      method: 'post',
      path: '/api/publish',
      tag: TAG,
      summary: 'Publishes a message',
      statuses: [422, 503],
      body: { schema: publishSchema, example: { topic: 'sensors/1/temperature', payload: '21.5', qos: 1, retain: false } },
      answer: { code: 0, data: z.null() },
    },
    async (body) => {
      const { topic, qos, retain, namespace } = body;
      await clients.publish({ topic, payload: payloadOf(body), qos, retain, namespace });
      return { code: 0, data: null };
    },
  ),
  askRoute(
    {
      method: 'post',
      path: '/api/check',
      tag: TAG,
      summary: 'Finds clients on all nodes',
      statuses: [404],
      query: nodeQuery,
      body: { schema: clientsSchema, example: { ids: ['sensor-1'] } },
      answer: { code: 0, data: z.array(locationSchema), partial: true },
    },
    async (query, { ids, namespace }) => {
      const { answer, unreachable } = await clients.locate(ids, namespace, query);
      return { code: 0, data: answer, unreachable };
    },
  ),
  askRoute(
    {
      method: 'post',
      path: '/api/close',
      tag: TAG,
      summary: 'Disconnects clients on all nodes',
      statuses: [404],
      query: nodeQuery,
      body: { schema: clientsSchema, example: { ids: ['sensor-1', 'sensor-2'] } },
      answer: { code: 0, data: closedSchema, partial: true },
    },
    async (query, { ids, namespace }) => {
      const { answer, unreachable } = await clients.disconnect(ids, namespace, query);
      return { code: 0, data: { closed: answer }, unreachable };
    },
  ),
  readRoute(
    {
      method: 'get',
      path: '/api/clients',
      tag: TAG,
      summary: 'Connected clients of all nodes, sorted by identifier',
      statuses: [404],
      query: z.object({
        endpoint: idQuery.optional(),
        page: queryInteger(1, 1_000_000, 'Counts from 1', 1).optional(),
        size: queryInteger(1, 1000, 'Clients on a page; default 100', 100).optional(),
        ...choice,
      }),
      answer: { data: clientPageSchema, partial: true },
    },
    async ({ endpoint, page = 1, size = 100, ...nodes }) => {
      const { answer, unreachable } = await clients.connected({ page, size, ...(endpoint === undefined ? {} : { endpoint }) }, nodes);
      return { data: answer, unreachable };
    },
  ),
];
