/** The law of the house as tables (ARCHITECTURE.md, Rooms). Change a table when the design changes, never to let one import through. */

/** Room of `src` → rooms that it may import from. A file directly in `src` is the room `main`, which may import everything. */
export const SRC_ARROWS: Readonly<Record<string, readonly string[]>> = {
  admin: ['answers', 'control', 'metrics', 'settings', 'endpoint', 'mqtt', 'kernel'],
  cli: ['answers', 'settings', 'endpoint', 'kernel'],
  answers: ['endpoint', 'kernel'],
  control: ['answers', 'internals', 'thread', 'metrics', 'storage', 'bus', 'settings', 'endpoint', 'mqtt', 'kernel'],
  thread: ['metrics', 'bus', 'link', 'endpoint', 'mqtt', 'kernel'],
  metrics: ['endpoint', 'mqtt', 'kernel'],
  storage: ['database', 'bus', 'endpoint', 'mqtt', 'kernel'],
  database: ['kernel'],
  bus: ['link', 'endpoint', 'mqtt', 'kernel'],
  link: ['kernel'],
  settings: ['bus', 'endpoint', 'kernel'],
  endpoint: ['kernel'],
  mqtt: ['kernel'],
  internals: ['kernel'],
  kernel: [],
};

/**
 * Folder → its inner floors → floors of the same folder that each may import from. Files directly in the folder put the floors together:
 * they may import every floor, and no floor imports them.
 */
export const FLOORS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'src/control': {
    cluster: ['clients', 'listening', 'state', 'tls', 'probe', 'contract'],
    access: ['documents', 'contract'],
    users: ['documents', 'contract'],
    bans: ['documents', 'contract'],
    admins: ['documents', 'contract'],
    audit: ['documents', 'contract'],
    documents: ['contract'],
    transfer: ['changes', 'listening', 'state', 'contract'],
    report: ['clients', 'listening', 'state', 'workers', 'log', 'contract'],
    changes: ['listening', 'state', 'probe', 'contract'],
    listening: ['state', 'workers', 'tls', 'probe', 'contract'],
    clients: ['workers', 'contract'],
    state: ['contract'],
    workers: [],
    tls: [],
    probe: [],
    log: [],
    contract: [],
  },
  // By the thread that a file lives on; what both kinds of threads use is shared.
  workers: {
    endpoint: ['shared', 'task'],
    host: ['shared'],
    relay: ['shared'],
    task: [],
    shared: [],
  },
  'workers/endpoint': {
    runtime: ['handlers', 'client', 'listener', 'connection'],
    handlers: ['client', 'access', 'identifiers', 'retained', 'connection'],
    client: ['identifiers', 'durable', 'retained', 'access', 'connection'],
    identifiers: [],
    durable: [],
    retained: [],
    access: [],
    // A listener knows no client: they meet in the connection.
    listener: ['uws', 'websocket', 'connection'],
    uws: ['websocket', 'connection'],
    websocket: ['connection'],
    connection: [],
  },
  'workers/endpoint/handlers': { connect: ['subscribe'], subscribe: [], publish: [] },
  'workers/endpoint/client': {
    publish: ['limits', 'context'],
    online: ['output', 'context'],
    input: ['output', 'context'],
    output: ['context'],
    limits: ['context'],
    context: [],
  },
  'workers/relay': { interest: [], kept: [] },
  'workers/host': { cluster: [], identifiers: [], sessions: ['disk'], disk: ['retained'], retained: [] },
  'workers/shared': {
    table: ['move', 'session', 'mesh', 'wire', 'routing', 'messages'],
    rights: ['session', 'wire', 'routing'],
    move: ['session', 'mesh', 'wire', 'routing'],
    session: ['mesh', 'wire', 'routing', 'messages'],
    mesh: ['wire', 'routing', 'messages'],
    wire: ['routing', 'messages'],
    // Messages and peers only: bytes are the matter of messages/ and wire/.
    routing: ['messages'],
    messages: [],
  },
  'workers/shared/session': { flight: [] },
};

/** Rooms of `src` that `workers` may use. */
export const WORKERS_USE: readonly string[] = ['internals', 'thread', 'metrics', 'database', 'bus', 'link', 'endpoint', 'mqtt', 'kernel'];

/** Library → where it may be imported: folders end with `/`, files do not. `oneFile`: in a single file there. */
export const LIBRARIES: Readonly<Record<string, { places: readonly string[]; oneFile?: boolean }>> = {
  hono: { places: ['src/admin/'] },
  '@hono/node-server': { places: ['src/admin/'], oneFile: true },
  '@hono/zod-openapi': { places: ['src/admin/'] },
  zod: { places: ['src/answers/', 'src/endpoint/', 'src/settings/'] },
  'better-sqlite3': { places: ['src/storage/local/', 'workers/host/disk/'] },
  postgres: { places: ['src/database/postgres/'], oneFile: true },
  mysql2: { places: ['src/database/mysql/'], oneFile: true },
  pino: { places: ['src/control/'], oneFile: true },
  'prom-client': { places: ['src/metrics/'], oneFile: true },
  piscina: { places: ['src/control/'], oneFile: true },
  'mqtt-packet': { places: ['src/mqtt/'], oneFile: true },
  yaml: { places: ['src/settings/'], oneFile: true },
  nats: { places: ['src/bus/nats/', 'src/storage/jetstream/'] },
  '@node-rs/argon2': { places: ['src/kernel/logins/'], oneFile: true },
  '@node-rs/bcrypt': { places: ['src/kernel/logins/'], oneFile: true },
  undici: { places: ['workers/task/'], oneFile: true },
  '@redis/client': { places: ['workers/task/'], oneFile: true },
  jose: { places: ['workers/task/'], oneFile: true },
};

/** In `workers`, sockets are opened by listeners alone; types may be used everywhere. */
export const SOCKET_MODULES: readonly string[] = ['node:net', 'node:tls', 'node:http', 'node:https'];

/** The room of what Node does not document: no other room may name these. */
export const NODE_INTERNALS = {
  room: 'src/internals/',
  words: /\bprocess\s*\.\s*binding\b|\b\w*_wrap\b|\._(?:handle|parent)\b|\b_(?:handle|parent)\?:/,
} as const;

/** The file that reads the clocks of the process. */
export const CLOCK = 'src/kernel/clock.ts';

/**
 * Files that may read the wall clock, each for moments that people read, that others have written (certificates), or that outlive the
 * process. Every other span is measured by steadyNow(): the wall clock jumps.
 */
export const WALL_CLOCK_READERS: readonly string[] = [
  'src/admin/login/tokens.ts',
  'src/cli/commands/access/admin.ts',
  'src/cli/commands/access/ban.ts',
  'src/control/admins/api-keys.ts',
  'src/control/audit/audit.ts',
  'src/control/bans/ban-keeper.ts',
  'src/control/bans/bans.ts',
  'src/control/bans/flapping-bans.ts',
  'src/control/changes/change-transaction.ts',
  'src/control/state/waiting-changes.ts',
  'src/control/cluster/alone.ts',
  'src/control/cluster/cluster.ts',
  'src/control/cluster/members.ts',
  'src/control/cluster/own-facts.ts',
  'src/control/listening/drain/drain-progress.ts',
  'src/control/listening/driver.ts',
  'src/control/listening/endpoint-supervisor.ts',
  'src/control/state/history-keeper.ts',
  'src/control/log/log.ts',
  'src/control/listening/certificate-watch.ts',
  'src/control/tls/load-tls.ts',
  'src/control/tls/server-tls.ts',
  'src/control/transfer/transfer.ts',
  'src/control/report/watch-hub.ts',
  'src/kernel/lasting-clock.ts',
  'src/metrics/endpoint-text.ts',
  'src/metrics/report.ts',
  'src/storage/jetstream/bucket-documents.ts',
  'src/storage/jetstream/jetstream-store.ts',
  'src/storage/jetstream/past.ts',
  'src/storage/last-known.ts',
  'src/storage/local/data-files.ts',
  'workers/host/cluster/stamps.ts',
  'src/storage/local/documents.ts',
  'src/storage/local/local-store.ts',
  'src/storage/memory/memory-store.ts',
  'src/storage/sql/sql-documents.ts',
  'src/storage/sql/sql-store.ts',
  'workers/endpoint/access/verdict-cache.ts',
  'workers/endpoint/client/client.ts',
  // The end of a ban is a moment that a person has named.
  'workers/endpoint/runtime/take-bans.ts',
  // The end of a login is a moment that a server has named.
  'workers/endpoint/client/online/identity.ts',
  'workers/task/asking/http/read-answer.ts',
  'workers/task/asking/jwt/claims.ts',
  // Retained messages of several nodes are compared by time.
  'workers/shared/messages/stamp.ts',
];

export const FILE_LINES_MAX = 450;
export const FOLDER_FILES_MAX = 12;
