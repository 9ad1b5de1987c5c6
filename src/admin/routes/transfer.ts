/** Routes for files: export and import of endpoints, backup and restore of endpoints with their history. */

import { z } from '@hono/zod-openapi';
import type { RequestContext } from '../../control/contract.ts';
import { FluxError } from '../../kernel/errors.ts';
import { etagOf } from '../http/request.ts';
import { type Call, controlRoute, type Route, type RouteInfo, readRoute } from '../http/route.ts';
import { endpointPatchSchema, historyRowSchema, setSchema } from '../http/schemas.ts';
import { changeOptions, IMPORT_MAX_BYTES } from './changes.ts';
import { etagHeaders } from './restoring.ts';

const TAG = 'Files';
/** Of a backup, which has the history. */
const RESTORE_MAX_BYTES = 64 * 1024 * 1024;

function info(method: 'get' | 'post', name: string, summary: string, statuses: number[]): RouteInfo {
  const path = `/api/endpoints/${name}`;
  const access = method === 'get' ? 'viewer' : 'admin';
  return { method, path, aliases: [`/endpoints/${name}`], access, tag: TAG, summary, statuses };
}

const secretsQuery = z.object({
  secrets: z
    .enum(['mask', 'include'])
    .default('mask')
    .openapi({ description: 'include: in clear, for an administrator alone. Else sealed with store.secretKey, or masked without one' }),
});
const head = {
  version: z.number().int().openapi({ description: 'Of the form of this file' }),
  revision: z.number().int(),
  secrets: z.enum(['none', 'sealed', 'masked', 'clear']),
  keyId: z.string().optional().openapi({ description: 'Of the key that secrets are sealed with' }),
  note: z.string().optional(),
  configs: z.array(endpointPatchSchema),
};
const exportSchema = z.object({ ...head, exportedAt: z.string() }).openapi('Export');
const backupSchema = z
  .object({
    kind: z.literal('fluxmq-backup'),
    ...head,
    takenAt: z.string(),
    node: z.string(),
    history: z.array(historyRowSchema.omit({ diff: true })).openapi({ description: 'Oldest first' }),
  })
  .openapi('Backup');
const counts = { added: z.number().int(), updated: z.number().int(), removed: z.number().int(), unchanged: z.number().int() };
const importSchema = setSchema.extend(counts).openapi('Import');
const dryRun = z.boolean().optional().openapi({ description: 'Only say what it would do' });

const importBody = {
  schema: z.object({
    configs: z.array(endpointPatchSchema).openapi({ description: 'As an export has them; only port is required' }),
    mode: z
      .enum(['merge', 'replace'])
      .optional()
      .openapi({ description: 'merge (default): named keys of named endpoints; replace: exactly what the file says, the rest is removed' }),
    dryRun,
    version: z.number().int().optional().openapi({ description: 'Of the file; other keys of an export may be sent along' }),
    ...changeOptions,
  }),
  example: { configs: [{ port: 1884 }], mode: 'merge' },
};
const restoreBody = {
  schema: z.object({ ...backupSchema.partial().shape, dryRun, ...changeOptions }),
  example: { kind: 'fluxmq-backup', version: 1, configs: [{ port: 1884 }], history: [] },
};

/** @throws FluxError `forbidden` when a viewer asks for secrets in clear, or anybody where others may listen */
function isClear({ secrets }: { secrets: 'mask' | 'include' }, call: Call): boolean {
  if (secrets === 'include' && call.context.source === 'nats')
    throw new FluxError('forbidden', 'Secrets in clear are not sent over NATS: the HTTP API gives them to an administrator');
  if (secrets === 'include' && !call.isAdmin) throw new FluxError('forbidden', 'Only an administrator may have secrets in clear');
  return secrets === 'include';
}

function fileRoute(
  { name, summary, ...route }: { name: string; summary: string; body: Route['body'] & object; bodyMaxBytes: number; data: z.ZodType },
  run: (body: unknown, context: RequestContext, call: Call) => Promise<{ revision: number | null }>,
): Route {
  const { body, bodyMaxBytes, data } = route;
  return controlRoute(
    { ...info('post', name, summary, [409, 412, 422]), bodyMaxBytes, body, change: true, answer: { data } },
    async (input, call) => {
      const answer = await run(input, call.context, call);
      return { data: answer, ...etagHeaders(answer.revision) };
    },
  );
}

export const transferRoutes: Route[] = [
  readRoute(
    { ...info('get', 'export', 'All endpoints, as a file that import takes', [403]), query: secretsQuery, answer: { data: exportSchema } },
    (query, call) => {
      const data = call.control.exportAll(isClear(query, call));
      return { data, headers: { etag: etagOf(data.revision) } };
    },
  ),
  readRoute(
    {
      ...info('get', 'backup', 'All endpoints and their history, as a file that restore takes', [403]),
      query: secretsQuery,
      answer: { data: backupSchema },
    },
    async (query, call) => {
      const data = await call.control.backup(isClear(query, call));
      return { data, headers: { etag: etagOf(data.revision) } };
    },
  ),
  fileRoute(
    {
      name: 'import',
      summary: 'Endpoints of a file, all or nothing, as one revision',
      body: importBody,
      bodyMaxBytes: IMPORT_MAX_BYTES,
      data: importSchema,
    },
    (body, context, call) => call.control.importAll(body, context),
  ),
  fileRoute(
    {
      name: 'restore',
      summary: 'Exactly the endpoints of a backup; an empty store takes its history, too',
      body: restoreBody,
      bodyMaxBytes: RESTORE_MAX_BYTES,
      data: importSchema.extend({ adopted: z.boolean() }).openapi('Restore'),
    },
    (body, context, call) => call.control.restore(body, context),
  ),
];
