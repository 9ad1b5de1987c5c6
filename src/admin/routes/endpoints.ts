/** Routes that read endpoints: configuration, status, metrics, probes, history. */

import { isIP } from 'node:net';
import { z } from '@hono/zod-openapi';
import {
  getSchema,
  historyRowSchema,
  listSchema,
  metricsSchema,
  type PublicHistoryRow,
  portCheckSchema,
  probeSchema,
  statusSchema,
} from '../../answers/endpoints.ts';
import type { EndpointView } from '../../control/contract/answers.ts';
import type { ControlPlane } from '../../control/contract/control-plane.ts';
import type { NodeReads } from '../../control/contract/node-reads.ts';
import { toPublicEndpoint } from '../../endpoint/schema.ts';
import { readableDiff } from '../../endpoint/secrets/readable-diff.ts';
import { FluxError } from '../../kernel/errors.ts';
import { AT_ONCE_MAX, listReply, listText, streamed, streamedText } from '../http/json-stream.ts';
import { etagOf, matchesNone } from '../http/request.ts';
import { type Call, type Reply, type Route, type RouteInfo, readRoute } from '../http/route.ts';
import { idQuery, portQuery, queryInteger, queryMoment } from '../http/schemas.ts';

/** Content type of the Prometheus text format. */
export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

function info(name: string, summary: string, statuses: number[] = []): RouteInfo {
  const path = `/api/endpoints/${name}`;
  return { method: 'get', path, aliases: [`/endpoints/${name}`], tag: 'Endpoints', summary, statuses };
}

const optionalKey = z.object({ port: portQuery.optional(), id: idQuery.optional() });

/** The query names exactly one endpoint, by port or by id. */
const oneKey = optionalKey.refine((query) => (query.port === undefined) !== (query.id === undefined), {
  path: ['port'],
  message: 'give either port or id',
});

/** The port that the query names; undefined for all endpoints. @throws FluxError `not-found`, `invalid` */
function portOf(reads: NodeReads, query: z.output<typeof optionalKey>): number | undefined {
  if (query.id === undefined) return query.port;
  if (query.port !== undefined)
    throw new FluxError('invalid', 'Give either port or id', { issues: [{ path: 'id', message: 'give either port or id' }] });
  return reads.get({ id: query.id }).endpoint.port;
}

/** Turns an empty answer about one port into an error. @throws FluxError `not-found` */
function refuseUnknown(reads: NodeReads, port: number | undefined, found: unknown[]): void {
  if (port !== undefined && found.length === 0) reads.get({ port });
}

function endpointsReply(reads: NodeReads, { ifNoneMatch }: Call): Reply | Response {
  const revision = reads.revision();
  const headers = { etag: etagOf(revision), 'cache-control': 'private, no-cache' };
  if (matchesNone(ifNoneMatch, revision)) return { status: 304, data: null, headers };
  const views = reads.list();
  const activePorts = reads.activePorts();
  if (views.length > AT_ONCE_MAX) return streamed(endpointsText(views, activePorts), headers);
  const endpoints = Object.fromEntries(views.map(({ endpoint }) => [String(endpoint.port), toPublicEndpoint(endpoint)]));
  return { data: { endpoints, activePorts, total: views.length }, headers };
}

/** The same answer, piece by piece. */
async function* endpointsText(views: readonly EndpointView[], activePorts: number[]): AsyncGenerator<string> {
  let separator = '{"endpoints":{';
  for (const { endpoint } of views) {
    yield `${separator}"${endpoint.port}":${JSON.stringify(toPublicEndpoint(endpoint))}`;
    separator = ',';
  }
  yield `},"activePorts":${JSON.stringify(activePorts)},"total":${views.length}}`;
}

function getReply(reads: NodeReads, query: z.output<typeof optionalKey>, { ifNoneMatch }: Call): Reply {
  const key = query.id === undefined ? { port: query.port ?? 0 } : { id: query.id };
  const { endpoint, revision } = reads.get(key);
  const headers = { etag: etagOf(revision), 'cache-control': 'private, no-cache' };
  if (matchesNone(ifNoneMatch, revision)) return { status: 304, data: null, headers };
  return { data: { endpoint: toPublicEndpoint(endpoint), revision }, headers };
}

async function healthReply(port: number | undefined, { reads, cluster }: Pick<ControlPlane, 'reads' | 'cluster'>): Promise<Reply> {
  const data = await cluster.probe(port);
  refuseUnknown(reads, port, data);
  const issues = data
    .filter((result) => !result.healthy)
    .map((result) => ({ path: String(result.port), message: result.nodes.find((node) => !node.healthy)?.reason ?? 'not healthy' }));
  const [first] = issues;
  if (first === undefined) return { data };
  return { status: 503, message: `Endpoint ${first.path} is not healthy: ${first.message}`, data, error: { kind: 'unavailable', issues } };
}

type HistoryRow = Awaited<ReturnType<NodeReads['history']>>[number];

/** A history row without its secrets. A new or removed endpoint has an empty diff, because the row holds the whole endpoint. */
function publicRow(row: HistoryRow): PublicHistoryRow {
  const { before, after } = row;
  return {
    ...row,
    at: new Date(row.at).toISOString(),
    before: before === null ? null : toPublicEndpoint(before),
    after: after === null ? null : toPublicEndpoint(after),
    diff: before === null || after === null ? [] : readableDiff(before, after),
  };
}

function* publicRows(rows: HistoryRow[]): Generator<PublicHistoryRow> {
  for (const row of rows) yield publicRow(row);
}

const metricsQuery = optionalKey.extend({
  format: z.enum(['json', 'prometheus']).default('json').openapi({ description: 'Form of the answer' }),
});
const checkPortQuery = z.object({
  port: portQuery,
  host: z
    .string()
    .refine((host) => isIP(host) !== 0, 'expected an IP address')
    .optional()
    .openapi({ description: 'Address to bind; default 0.0.0.0', example: '127.0.0.1' }),
});
const historyQuery = optionalKey.extend({
  limit: queryInteger(
    1,
    1000,
    'Most revisions of a page, each with all its rows; default 50. Next page: before = the smallest revision, until a page is empty',
    50,
  ).optional(),
  before: queryInteger(1, Number.MAX_SAFE_INTEGER, 'Only rows with a smaller revision', 8).optional(),
  actor: z.string().min(1).max(1024).optional().openapi({ description: 'Exact name of the actor', example: 'admin' }),
  since: queryMoment('Rows of this moment or later').optional(),
  until: queryMoment('Rows before this moment').optional(),
});
export const endpointRoutes = ({ reads, cluster }: Pick<ControlPlane, 'reads' | 'cluster'>): Route[] => [
  readRoute({ ...info('list', 'All endpoints, by port'), query: z.object({}), answer: { data: listSchema, etag: true } }, (_query, call) =>
    endpointsReply(reads, call),
  ),
  readRoute(
    {
      ...info('get', 'One endpoint and its revision, which is its ETag', [404]),
      query: oneKey,
      answer: { data: getSchema, etag: true },
    },
    (query, call) => getReply(reads, query, call),
  ),
  readRoute(
    {
      ...info('status', 'State of one endpoint, or of all, on each node', [404]),
      query: optionalKey,
      answer: { data: z.array(statusSchema) },
    },
    async (query) => {
      const port = portOf(reads, query);
      const data = await cluster.statusEverywhere(port);
      refuseUnknown(reads, port, data);
      return listReply(data);
    },
  ),
  readRoute(
    {
      ...info('metrics', 'Numbers of one endpoint (an object), or of all (an array)', [404]),
      query: metricsQuery,
      answer: { data: z.union([metricsSchema, z.array(metricsSchema)]), raw: { [PROMETHEUS_TYPE]: z.string() } },
    },
    async (query) => {
      const port = portOf(reads, query);
      if (port !== undefined) reads.get({ port });
      if (query.format === 'prometheus') return streamedText(await reads.prometheus(port), { 'content-type': PROMETHEUS_TYPE });
      const data = await reads.metrics(port);
      return port === undefined ? listReply(data) : { data: data[0] ?? null };
    },
  ),
  readRoute(
    {
      ...info('check-port', 'Checks whether a port is free by binding it on each node'),
      slow: true,
      query: checkPortQuery,
      answer: { data: portCheckSchema },
    },
    async ({ port, host }) => ({ data: await cluster.checkPort(port, host) }),
  ),
  readRoute(
    {
      ...info('health', 'Connects to the endpoint with MQTT, on each node', [404]),
      slow: true,
      query: optionalKey,
      answer: { data: z.array(probeSchema) },
    },
    (query) => healthReply(portOf(reads, query), { reads, cluster }),
  ),
  readRoute(
    { ...info('history', 'Changes, newest first', [503]), query: historyQuery, answer: { data: z.array(historyRowSchema) } },
    async (query) => {
      const rows = await reads.history(toHistoryQuery(query));
      return rows.length <= AT_ONCE_MAX ? { data: rows.map(publicRow) } : streamed(listText(publicRows(rows)), {});
    },
  ),
];

/** @throws FluxError `invalid` for a time span that ends before it begins */
function toHistoryQuery({ limit = 50, ...query }: z.output<typeof historyQuery>): Parameters<NodeReads['history']>[0] {
  const { since, until } = query;
  if (since !== undefined && until !== undefined && until <= since) {
    throw new FluxError('invalid', 'The query is not valid: until: must be after since', {
      issues: [{ path: 'until', message: 'must be after since' }],
    });
  }
  return { limit, ...withoutUndefined(query) };
}

/** The object without the keys that are undefined. */
function withoutUndefined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
