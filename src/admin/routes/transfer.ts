/** Routes for files: export and import of endpoints, backup and restore of endpoints with their history. */

import { z } from '@hono/zod-openapi';
import type { RequestContext, SecretsWanted } from '../../control/contract.ts';
import type { Upload } from '../../control/transfer/upload.ts';
import { FluxError } from '../../kernel/errors.ts';
import { listText, streamed } from '../http/json-stream.ts';
import { etagOf } from '../http/request.ts';
import { type Call, controlRoute, type Route, type RouteInfo, readRoute } from '../http/route.ts';
import { endpointPatchSchema, historyRowSchema, setSchema } from '../http/schemas.ts';
import { changeOptions, IMPORT_MAX_BYTES } from './changes.ts';
import { etagHeaders } from './restoring.ts';

const TAG = 'Files';
/** Largest backup, bytes: the upload has the history, and stays on disk while it is read. */
const RESTORE_MAX_BYTES = 16 * 1024 * 1024 * 1024;

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
const backupQuery = secretsQuery.extend({
  history: z.enum(['true', 'false']).default('true').openapi({ description: 'false: the endpoints alone' }),
});

async function* exportText(head: object, configs: unknown[]): AsyncGenerator<string> {
  yield `${JSON.stringify(head).slice(0, -1)},"configs":`;
  yield* listText(configs);
  yield '}';
}

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
    historyFloor: z.number().int().openapi({ description: 'Up to this revision only the newest row of each endpoint is left; 0: all are' }),
    history: z.array(historyRowSchema.omit({ diff: true })).openapi({ description: 'Oldest first; not there with ?history=false' }),
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
function secretsWanted({ secrets }: { secrets: 'mask' | 'include' }, call: Call): SecretsWanted {
  if (secrets === 'include' && call.context.source === 'nats')
    throw new FluxError('forbidden', 'Secrets in clear are not sent over NATS: the HTTP API gives them to an administrator');
  if (secrets === 'include' && !call.isAdmin) throw new FluxError('forbidden', 'Only an administrator may have secrets in clear');
  return { isClear: secrets === 'include', keepsHashes: call.isAdmin };
}

/** What a file that cannot be used everywhere says before it is needed (RFC 9111 section 5.5 has the form of the header). */
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
  run: (body: unknown, context: RequestContext, call: Call) => Promise<{ revision: number | null }>,
): Route {
  const { body, bodyMaxBytes, file, data } = route;
  return controlRoute(
    { ...info('post', name, summary, [409, 412, 422]), bodyMaxBytes, file, body, change: true, answer: { data } },
    async (input, call) => {
      const answer = await run(input, call.context, call);
      return { data: answer, ...etagHeaders(answer.revision) };
    },
  );
}

export const transferRoutes: Route[] = [
  readRoute(
    { ...info('get', 'export', 'All endpoints, as a file that import takes', [403]), query: secretsQuery, answer: { data: exportSchema } },
    async (query, call) => {
      const { configs, ...head } = await call.control.exportAll(secretsWanted(query, call));
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
      const { text, ...head } = await call.control.backup(secretsWanted(query, call), query.history === 'true');
      return streamed(text, { etag: etagOf(head.revision), ...secretHeaders(head) });
    },
  ),
  fileRoute(
    {
      name: 'import',
      summary: 'Endpoints of a file, all or nothing, as one revision',
      body: importBody,
      bodyMaxBytes: IMPORT_MAX_BYTES,
      file: 'document',
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
      file: 'upload',
      data: importSchema.extend({ adopted: z.boolean() }).openapi('Restore'),
    },
    (body, context, call) => call.control.restore(body as Upload, context),
  ),
];
