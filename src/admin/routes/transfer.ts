/** Routes for files: export and import of endpoints, backup and restore of endpoints with their history. */

import { z } from '@hono/zod-openapi';
import { importSchema, restoreSchema } from '../../answers/changes.ts';
import { backupSchema, exportSchema } from '../../answers/endpoints.ts';
import type { SecretsWanted } from '../../control/contract/change-requests.ts';
import type { ControlPlane } from '../../control/contract/control-plane.ts';
import type { RequestContext } from '../../control/contract/request-parts.ts';
import { newEndpointSchema } from '../../endpoint/keys/form-schemas.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { Upload } from '../../kernel/input/upload.ts';
import { listText, streamed } from '../http/json-stream.ts';
import { etagOf } from '../http/request.ts';
import { type Call, controlRoute, type Route, type RouteInfo, readRoute } from '../http/route.ts';
import { changeOptions, IMPORT_BYTES_MAX } from './changes.ts';
import { etagHeaders } from './restoring.ts';

const TAG = 'Files';
/** Largest backup, bytes: the upload includes the history, and is read from the disk. */
const RESTORE_BYTES_MAX = 16 * 1024 * 1024 * 1024;

function info(method: 'get' | 'post', name: string, summary: string, statuses: number[]): RouteInfo {
  const path = `/api/endpoints/${name}`;
  return { method, path, aliases: [`/endpoints/${name}`], tag: TAG, summary, statuses };
}

const secretsQuery = z.object({
  secrets: z
    .enum(['mask', 'include'])
    .default('mask')
    .openapi({ description: 'include: in clear, for administrators only. mask: sealed with store.secretKey, masked without it' }),
});
const backupQuery = secretsQuery.extend({
  history: z.enum(['true', 'false']).default('true').openapi({ description: 'false: only the endpoints' }),
});

async function* exportText(head: object, configs: unknown[]): AsyncGenerator<string> {
  yield `${JSON.stringify(head).slice(0, -1)},"configs":`;
  yield* listText(configs);
  yield '}';
}

const dryRun = z.boolean().optional().openapi({ description: 'Only preview the change' });

const importBody = {
  schema: z.object({
    configs: z.array(newEndpointSchema).openapi({ description: 'Endpoints in the form of an export; only port is required' }),
    mode: z.enum(['merge', 'replace']).optional().openapi({
      description: 'merge (default): sets the keys in the file; replace: exactly the endpoints of the file, others are removed',
    }),
    dryRun,
    version: z.number().int().optional().openapi({ description: 'Version of the file. Other keys of an export are allowed' }),
    ...changeOptions,
  }),
  example: { configs: [{ port: 1884 }], mode: 'merge' },
};
const restoreBody = {
  schema: z.object({ ...backupSchema.partial().shape, configs: z.array(newEndpointSchema), dryRun, ...changeOptions }),
  example: { kind: 'fluxmq-backup', version: 1, configs: [{ port: 1884 }], history: [] },
};

/** @throws FluxError `forbidden` for secrets in clear, when a viewer asks, or anybody over NATS, where others may listen */
function secretsWanted({ secrets }: { secrets: 'mask' | 'include' }, call: Call): SecretsWanted {
  if (secrets === 'include' && call.context.source === 'nats')
    throw new FluxError('forbidden', 'Secrets in clear are not sent over NATS: the HTTP API gives them to an administrator');
  if (secrets === 'include' && !call.isAdmin) throw new FluxError('forbidden', 'Only an administrator may have secrets in clear');
  return { isClear: secrets === 'include', keepsHashes: call.isAdmin };
}

/** Headers that warn of a file that cannot be used everywhere (RFC 9111 section 5.5 has the form of `Warning`). */
function secretHeaders({ secrets, note }: { secrets: string; note?: string }): Record<string, string> {
  return { 'x-fluxmq-secrets': secrets, ...(note === undefined ? {} : { warning: `199 fluxmq "${note}"` }) };
}

function fileRoute(
  {
    name,
    summary,
    ...route
  }: {
    name: string;
    summary: string;
    body: Route['body'] & object;
    bodyMaxBytes: number;
    file: 'document' | 'upload';
    data: z.ZodType;
  },
  run: (body: unknown, context: RequestContext) => Promise<{ revision: number | null }>,
): Route {
  const { body, bodyMaxBytes, file, data } = route;
  return controlRoute(
    { ...info('post', name, summary, [409, 412, 422]), bodyMaxBytes, file, body, change: true, answer: { data } },
    async (input, call) => {
      const answer = await run(input, call.context);
      return { data: answer, ...etagHeaders(answer.revision) };
    },
  );
}

export const transferRoutes = ({ changes }: Pick<ControlPlane, 'changes'>): Route[] => [
  readRoute(
    { ...info('get', 'export', 'All endpoints, as a file that import takes', [403]), query: secretsQuery, answer: { data: exportSchema } },
    async (query, call) => {
      const { configs, ...head } = await changes.exportAll(secretsWanted(query, call));
      return streamed(exportText(head, configs), { etag: etagOf(head.revision), ...secretHeaders(head) });
    },
  ),
  readRoute(
    {
      ...info('get', 'backup', 'All endpoints and their history, as a file that restore takes', [403]),
      query: backupQuery,
      answer: { data: backupSchema },
    },
    async (query, call) => {
      const { text, ...head } = await changes.backup(secretsWanted(query, call), query.history === 'true');
      return streamed(text, { etag: etagOf(head.revision), ...secretHeaders(head) });
    },
  ),
  fileRoute(
    {
      name: 'import',
      summary: 'Imports the endpoints of a file, all or nothing, as one revision',
      body: importBody,
      bodyMaxBytes: IMPORT_BYTES_MAX,
      file: 'document',
      data: importSchema,
    },
    (body, context) => changes.importAll(body, context),
  ),
  fileRoute(
    {
      name: 'restore',
      summary: 'Restores exactly the endpoints of a backup; an empty store also takes its history',
      body: restoreBody,
      bodyMaxBytes: RESTORE_BYTES_MAX,
      file: 'upload',
      data: restoreSchema,
    },
    (body, context) => changes.restore(body as Upload, context),
  ),
];
