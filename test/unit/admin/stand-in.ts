/** A small in-memory ControlPlane for tests of the HTTP layer alone; the real one is tested over HTTP in test/admin. */

import { type AdminApp, type AppOptions, createApp, createRoutes } from '../../../src/admin/app.ts';
import type { Route } from '../../../src/admin/http/route.ts';
import { LoginDesk } from '../../../src/admin/login/login.ts';
import type { ChangeAnswer, ImportAnswer } from '../../../src/control/contract/answers.ts';
import type { ControlPlane } from '../../../src/control/contract/control-plane.ts';
import type { RequestContext } from '../../../src/control/contract/request-parts.ts';
import { parseEndpoint } from '../../../src/endpoint/schema.ts';
import { FluxError } from '../../../src/kernel/errors.ts';
import { type Logger, silentLogger } from '../../../src/kernel/logger.ts';
import type { Settings } from '../../../src/settings/settings.ts';
import { testSettings } from '../../kit/settings.ts';

export interface Seen {
  body: unknown;
  context: RequestContext | null;
}

const IMPORTED: ImportAnswer = { revision: 8, added: 0, updated: 0, removed: 0, unchanged: 0, changes: [], nodes: [], warnings: [] };

/** All five interfaces of the control plane in one object. */
export type AllRequests = ControlPlane['changes'] &
  ControlPlane['reads'] &
  ControlPlane['cluster'] &
  ControlPlane['clients'] &
  ControlPlane['watch'];

/** Records its requests; knows one endpoint, 1883 at revision 7. */
export function standInControl(overrides: Partial<AllRequests> = {}): { control: ControlPlane; seen: Seen[] } {
  const seen: Seen[] = [];
  const endpoint = parseEndpoint({ port: 1883 }).endpoint;
  const change = async (body: unknown, context: RequestContext): Promise<ChangeAnswer> => {
    seen.push({ body, context });
    if (context.expectedRevision !== null && context.expectedRevision !== 7) {
      throw new FluxError('revision-mismatch', 'The endpoint is at revision 7', { data: { revision: 7 } });
    }
    return { endpoint, revision: 8, nodes: [{ node: 'n1', state: 'applied', reason: null }], warnings: [] };
  };
  const refuse = (): never => {
    throw new FluxError('internal', 'secret inside');
  };
  const all: AllRequests = {
    node: 'n1',
    version: '0.0.0',
    add: change,
    update: change,
    remove: change,
    setEnabled: (_enabled, body, context) => change(body, context),
    rollback: async (body, context) => {
      seen.push({ body, context });
      return { revision: 8, changes: [], nodes: [], warnings: [] };
    },
    exportAll: async () => ({ version: 1, revision: 7, secrets: 'none', configs: [], exportedAt: '2026-01-31T12:00:00.000Z' }),
    importAll: async (body, context) => {
      seen.push({ body, context });
      return { ...IMPORTED };
    },
    backup: async () => ({
      revision: 7,
      secrets: 'none',
      text: (async function* () {
        yield '{"kind":"fluxmq-backup"}';
      })(),
    }),
    restore: async (upload, context) => {
      seen.push({ body: await upload.document(), context });
      return { ...IMPORTED, adopted: false };
    },
    confirm: async (body, context) => {
      seen.push({ body, context });
      return { revision: 8, endpoints: [], nodes: [], warnings: [] };
    },
    plan: async (body) => {
      seen.push({ body, context: null });
      return { changes: [], clientsAffected: 0, warnings: [] };
    },
    validate: async () => ({ valid: true, issues: [], warnings: [] }),
    list: () => [{ endpoint, revision: 7 }],
    revision: () => 7,
    activePorts: () => [1883],
    get: ({ port, id }) => {
      if (port === 1883 || id === 'mqtt-1883') return { endpoint, revision: 7 };
      throw new FluxError('not-found', 'There is no such endpoint');
    },
    status: () => [],
    statusEverywhere: async () => [],
    overview: refuse,
    nodes: () => [],
    metrics: async () => [],
    prometheus: async () => 'fluxmq_up 1\n',
    checkPort: async (port) => ({ port, available: true, nodes: [] }),
    probe: async (port) => [
      { port: port ?? 1883, id: 'mqtt-1883', healthy: false, nodes: [{ node: 'n1', healthy: false, reason: 'refused', latencyMs: null }] },
    ],
    history: async () => [],
    subscribe: () => ({ lastId: 1, isComplete: true, missed: [], stop: () => undefined }),
    countSlow: () => undefined,
    health: refuse,
    resources: refuse,
    testAcl: () => ({ allowed: true, path: null, rule: null, reason: 'no rule decides: acl.default is allow' }),
    publish: async (body) => {
      seen.push({ body, context: null });
    },
    locate: async () => ({ answer: [], unreachable: [] }),
    disconnect: async (ids) => ({ answer: ids.length, unreachable: [] }),
    disconnectUser: async () => ({ answer: 1, unreachable: [] }),
    connected: async ({ page, size }) => ({ answer: { data: [], total: 0, page, size }, unreachable: [] }),
    ...overrides,
  };
  return {
    control: {
      changes: all,
      reads: all,
      cluster: all,
      clients: all,
      watch: all,
      users: NO_USERS,
      access: NO_ACCESS,
      bans: NO_BANS,
      ...NO_ADMINS,
      audit: { note: () => undefined, list: refuseUsers },
    },
    seen,
  };
}

const refuseUsers = (): never => {
  throw new FluxError('unavailable', 'the stand-in has no users');
};
const NO_USERS: ControlPlane['users'] = {
  list: refuseUsers,
  exportPage: refuseUsers,
  get: refuseUsers,
  add: refuseUsers,
  update: refuseUsers,
  remove: refuseUsers,
  importAll: refuseUsers,
  history: refuseUsers,
  rollback: refuseUsers,
};

const NO_ACCESS: ControlPlane['access'] = {
  get: refuseUsers,
  update: refuseUsers,
  remove: refuseUsers,
  history: refuseUsers,
  rollback: refuseUsers,
};

const NO_BANS: ControlPlane['bans'] = { list: refuseUsers, add: refuseUsers, remove: refuseUsers };

const NO_ADMINS: Pick<ControlPlane, 'admins' | 'keys' | 'logins'> = {
  admins: { list: refuseUsers, add: refuseUsers, update: refuseUsers, remove: refuseUsers },
  keys: { list: refuseUsers, add: refuseUsers, remove: refuseUsers },
  logins: { administrator: () => null, decoy: () => null, useKey: () => null },
};

export function settingsWith(http: Partial<Settings['http']> = {}): Settings {
  const settings = testSettings({ areEndpointsGiven: true });
  return { ...settings, node: { ...settings.node, name: 'n1' }, http: { ...settings.http, ...http } };
}

function optionsWith(http: Partial<Settings['http']>, control: ControlPlane, logger: Logger): AppOptions {
  return { settings: settingsWith(http), control, logger, staticRoot: new URL('file:///nonexistent/') };
}

export function appWith(
  http: Partial<Settings['http']> = {},
  overrides: Partial<AllRequests> = {},
  logger: Logger = silentLogger,
): { app: AdminApp; seen: Seen[] } {
  const { control, seen } = standInControl(overrides);
  return { app: createApp(optionsWith(http, control, logger)), seen };
}

/** Every route of the API, as the application registers it. */
export function allRoutes(): Route[] {
  const options = optionsWith({}, standInControl().control, silentLogger);
  return createRoutes(options, new LoginDesk(options.settings.http, silentLogger));
}

export interface Answer {
  status: number;
  headers: Headers;
  body: { code: number; message: string; data: unknown; error?: { kind: string; issues: { path: string; message: string }[] } };
}

/** One request without a socket; an object body is sent as JSON. */
export async function ask(
  app: AdminApp,
  method: string,
  path: string,
  options: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const headers: Record<string, string> = { host: 'localhost', ...options.headers };
  const init: RequestInit = { method, headers };
  if (options.body !== undefined) {
    init.headers = { 'content-type': 'application/json', ...headers };
    init.body = typeof options.body === 'string' ? options.body : JSON.stringify(options.body);
  }
  const response = await app.request(path, init);
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : { code: 0, message: text, data: null } };
}

/** The header of HTTP Basic. */
export function basic(username: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
}
