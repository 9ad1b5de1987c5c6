/** Answers about the node, its cluster and its clients, and the token of a login. */

import { z } from 'zod';
import { ruleSchema } from '../endpoint/access/forms.ts';

const nodeStatusSchema = z.enum(['ok', 'degraded', 'failed']);
const natsSchema = z.object({ connected: z.boolean(), server: z.string().nullable(), reason: z.string().nullable() });

export const publicHealthSchema = z.object({
  status: z.enum([...nodeStatusSchema.options, 'starting']).meta({ description: 'starting: with 503, until each endpoint was tried' }),
  reasons: z.array(z.string()),
});

export const healthSchema = z.object({
  status: nodeStatusSchema.meta({
    description: 'failed: no client is served although endpoints are enabled; degraded: clients are served, but something else is wrong',
  }),
  node: z.string(),
  version: z.string(),
  uptimeSeconds: z.number(),
  store: z.object({
    type: z.string(),
    ok: z.boolean(),
    reason: z.string().nullable(),
    refused: z.array(z.string()).meta({ description: 'The features that answer 503 while the store is away' }),
  }),
  messages: z
    .object({ ok: z.boolean(), reason: z.string().nullable(), refused: z.int(), lost: z.int() })
    .meta({ description: 'Whether messages, sessions and retained messages can be stored; refused and lost count since the start' }),
  nats: natsSchema.nullable().meta({ description: 'null: a single node' }),
  crossing: z
    .object({
      ok: z.boolean(),
      reason: z.string().nullable(),
      lost: z.int().meta({ description: 'Messages that other nodes did not get' }),
    })
    .nullable()
    .meta({ description: 'Messages between nodes; null: they do not cross' }),
  endpoints: z.object({
    total: z.int(),
    running: z.int(),
    failed: z.array(z.object({ id: z.string(), port: z.int(), reason: z.string() })),
  }),
  workerRestarts: z.int().meta({ description: 'Threads replaced since the start' }),
  blockedWorkers: z.array(z.string()).meta({ description: 'Threads whose event loop has been blocked for over 5 s' }),
  startup: z
    .object({
      durationMs: z.number().meta({ description: 'Until every endpoint was tried once' }),
      seeded: z.int().meta({ description: 'Endpoints written from the configuration file to an empty store' }),
      endpoints: z.int(),
    })
    .optional(),
  runtime: z
    .object({
      version: z.string(),
      lacking: z.array(z.object({ piece: z.string(), instead: z.string() })),
      websocketTransports: z
        .object({ uws: z.union([z.literal(true), z.string()]) })
        .meta({ description: 'uws: true, or why uWebSockets.js cannot serve here; the built-in transport always can' }),
    })
    .optional()
    .meta({ description: 'The Node that runs the broker, and the undocumented pieces that it lacks, each with what is used instead' }),
});

export const aclVerdictSchema = z.object({
  allowed: z.boolean(),
  path: z.string().nullable().meta({
    description:
      'The rule that decides: aclConfig.rules.N of the endpoint, acl.rules.N of the node, or user.acl.N of the user in the store',
  }),
  rule: ruleSchema.nullable(),
  reason: z.string(),
});

export const resourcesSchema = z.object({
  cpu: z.object({ userSeconds: z.number(), systemSeconds: z.number(), percent: z.number() }),
  memory: z.object({
    rssBytes: z.number(),
    heapUsedBytes: z.number(),
    externalBytes: z.number(),
    budgetBytes: z.number().meta({ description: 'Memory that clients may use (node.memoryBudget)' }),
    heldBytes: z.number().meta({ description: 'Memory that clients use' }),
    machineBytes: z.number().meta({ description: 'Memory of the machine or container' }),
    isTight: z.boolean().meta({ description: 'True: new clients and large packets are refused' }),
  }),
  threads: z.array(
    z.object({
      name: z.string(),
      role: z.string(),
      endpoints: z.array(z.string()),
      cpuPercent: z.number(),
      heapUsedBytes: z.number(),
      eventLoopLagMsP99: z.number().meta({ description: 'Within the last 30 to 60 s' }),
      eventLoopLagMsMax: z.number(),
      eventLoopBlocks: z.int().meta({ description: 'Delays over 50 ms since the start of the thread' }),
    }),
  ),
  node: z.string(),
  pid: z.int(),
});

const crossingNodeSchema = z.object({
  name: z.string(),
  linked: z.boolean().meta({ description: 'Publishers and subscribers of this node wait for it' }),
  state: z.string().meta({ description: 'greeting, up or suspect' }),
  rttMs: z.number(),
  interest: z.int().meta({ description: 'Filters and shared groups that it wants' }),
  delivered: z.int().meta({ description: 'Messages that it has taken' }),
  waiting: z.int().meta({ description: 'Messages for it that it has not taken' }),
  waitingBytes: z.int(),
  lost: z.record(z.string(), z.int()).meta({ description: 'Messages that it did not get, by reason' }),
});

const crossingSchema = z
  .object({
    ok: z.boolean(),
    reason: z.string().nullable(),
    isolated: z.boolean().meta({ description: 'This node works alone: acknowledgements do not wait for others' }),
    interest: z.int().meta({ description: 'Filters and shared groups that the other nodes know of this one' }),
    received: z.int().meta({ description: 'Messages of other nodes delivered here' }),
    unacknowledged: z.int().meta({ description: 'Messages whose publishers wait for other nodes' }),
    nodes: z.array(crossingNodeSchema),
  })
  .nullable()
  .meta({ description: 'How messages cross between nodes; null: they do not' });

export const clusterSchema = z
  .object({
    name: z.string(),
    node: z.string(),
    enabled: z.boolean().meta({ description: 'False for a single node' }),
    nats: natsSchema,
    store: z.object({ ok: z.boolean(), reason: z.string().nullable() }),
    revision: z.int(),
    lag: z.int().meta({ description: 'Revisions that another node has and this one lacks' }),
    nodes: z.object({ total: z.int(), up: z.int() }),
    inStep: z.boolean().meta({ description: 'Every node that is up runs the newest revision' }),
    sync: z.record(z.string(), z.number()).meta({ description: 'Announcements and receipts since the start' }),
    messages: crossingSchema,
  })
  .meta({ id: 'Cluster' });

export const nodeSchema = z
  .object({
    name: z.string(),
    incarnation: z.string().meta({ description: 'New at each start of the node' }),
    address: z.string(),
    adminPort: z.int(),
    version: z.string(),
    upSince: z.string().meta({ description: 'ISO 8601' }),
    lastSeen: z.string().meta({ description: 'ISO 8601' }),
    state: z.enum(['up', 'down']),
    status: nodeStatusSchema,
    self: z.boolean(),
    twin: z.boolean().meta({ description: 'Another node that is up has the same name' }),
    revision: z.int(),
    lag: z.int(),
    store: z.object({ ok: z.boolean() }),
    failed: z.array(z.string()).meta({ description: 'Ids of endpoints that do not run as the store says' }),
    carriesMessages: z.boolean().meta({ description: 'Messages cross to and from the node; false: it shares configuration only' }),
  })
  .meta({ id: 'Node' });

export const locationSchema = z.object({
  clientId: z.string(),
  namespace: z.string(),
  connected: z.boolean(),
  session: z.boolean().meta({ description: 'connected false and session true: an offline session' }),
  node: z.string().nullable().meta({ description: 'null: no node that answers knows it' }),
  endpoint: z.string().nullable(),
});

const clientSchema = z
  .object({
    clientId: z.string(),
    username: z.string().nullable(),
    namespace: z.string(),
    node: z.string().meta({ description: 'The node that it is connected to' }),
    endpoint: z.string(),
    port: z.int(),
    address: z.string(),
    protocolVersion: z.union([z.literal(3), z.literal(4), z.literal(5)]),
    cleanStart: z.boolean(),
    keepAlive: z.int(),
    sessionExpiry: z.int(),
    connectedAt: z.string().meta({ description: 'ISO 8601' }),
    subscriptions: z.int(),
    inflight: z.int(),
    queued: z.int(),
  })
  .meta({ id: 'Client' });

export const clientPageSchema = z.object({ data: z.array(clientSchema), total: z.int(), page: z.int(), size: z.int() });

export const closedSchema = z.object({ closed: z.int() });

export const tokenSchema = z.object({ token: z.string(), expires: z.string().meta({ description: 'ISO 8601' }) });

export type HealthAnswer = z.infer<typeof healthSchema>;
export type ResourcesAnswer = z.infer<typeof resourcesSchema>;
export type AclVerdict = z.infer<typeof aclVerdictSchema>;
export type ClusterStatus = z.infer<typeof clusterSchema>;
export type NodeView = z.infer<typeof nodeSchema>;
export type ClientLocation = z.infer<typeof locationSchema>;
export type ClientInfo = z.infer<typeof clientSchema>;
export type ClientsAnswer = z.infer<typeof clientPageSchema>;
