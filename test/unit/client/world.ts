/** The inside of one endpoint worker, without threads and sockets: clients on connections that only record the sent bytes. */

import { defaultEndpoint } from '../../../src/endpoint/defaults.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import type { Logger } from '../../../src/kernel/logger.ts';
import { LoginGate } from '../../../src/kernel/logins/login-gate.ts';
import { createLoginMemory, LoginMemory } from '../../../src/kernel/logins/login-memory.ts';
import { createCounters } from '../../../src/metrics/counters.ts';
import { createSharedLimits, SharedLimits } from '../../../src/metrics/shared-limits.ts';
import { createIdentifierTable, IdentifierTable } from '../../../src/thread/identifier-table.ts';
import { createMemoryBlock, MemoryBudget } from '../../../src/thread/memory-budget.ts';
import { createStoreState, StoreState } from '../../../src/thread/store-state.ts';
import { Authenticator } from '../../../workers/endpoint/access/authenticator.ts';
import { Client } from '../../../workers/endpoint/client/client.ts';
import { EndpointContext, type WorkerContext } from '../../../workers/endpoint/client/context/context.ts';
import { HeldPublishes } from '../../../workers/endpoint/client/context/held-publishes.ts';
import { arena } from '../../../workers/endpoint/client/output/arena.ts';
import { type Connection, PLACE } from '../../../workers/endpoint/connection/connection.ts';
import { DurableBarrier } from '../../../workers/endpoint/durable/durable-barrier.ts';
import { dispatch } from '../../../workers/endpoint/handlers/dispatch.ts';
import { type ClaimAnswer, Directory } from '../../../workers/endpoint/identifiers/directory.ts';
import { RetainedQueries } from '../../../workers/endpoint/retained/queries.ts';
import { createBanIndex } from '../../../workers/endpoint/runtime/take-bans.ts';
import { Mesh } from '../../../workers/shared/mesh/mesh.ts';
import { heldMessages } from '../../../workers/shared/messages/message.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import { Router } from '../../../workers/shared/routing/router.ts';
import { SessionTable } from '../../../workers/shared/table/session-table.ts';
import type { Claim } from '../../../workers/shared/wire/controls.ts';

const QUIET: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** Takes everything that is sent: at once, or every second time only when the loop has gone on. */
export class Wire implements Connection {
  readonly address = '127.0.0.1';
  readonly acceptedAt = steadyNow();
  readonly #sent: Buffer[] = [];
  readonly #isSlow: boolean;
  #count = 0;
  #held: Buffer | null = null;
  onDrain: () => void = () => undefined;
  isEnded = false;

  constructor(isSlow: boolean) {
    this.#isSlow = isSlow;
  }

  send(bytes: Buffer): boolean {
    if (this.#held !== null) throw new Error('more was sent while the transport holds something');
    if (this.#isSlow && this.#count++ % 2 === 0) {
      this.#held = bytes;
      return false;
    }
    this.#sent.push(Buffer.from(bytes));
    return true;
  }

  /** Sends the held bytes. @returns false when there were none */
  drain(): boolean {
    if (this.#held === null) return false;
    this.#sent.push(Buffer.from(this.#held));
    this.#held = null;
    this.onDrain();
    return true;
  }

  pause(): void {}

  resume(): void {}

  finish(): void {
    this.end();
  }
  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    this.isEnded = true;
  }

  get sent(): Buffer {
    return Buffer.concat(this.#sent);
  }
}

/** Grants every claim: there is no session worker. */
class LocalDirectory extends Directory {
  readonly #table: SessionTable;
  readonly #mesh: Mesh;

  constructor(mesh: Mesh, table: SessionTable) {
    super(mesh, table, new IdentifierTable(createIdentifierTable()));
    this.#mesh = mesh;
    this.#table = table;
  }

  override claim({ namespace, clientId }: Claim, then: (answer: ClaimAnswer) => void): void {
    const session = this.#table.create(this.#mesh.namespace(namespace), clientId);
    queueMicrotask(() => then({ ok: true, session, isPresent: false }));
  }
}

export class World {
  /** topics of RETAIN messages, in the order in which they were to be kept */
  readonly retained: string[] = [];
  /** errors other than ProtocolError */
  readonly faults: string[] = [];
  readonly endpoint: EndpointContext;
  readonly context: WorkerContext;

  /** @param messageMaxSize bytes */
  constructor(messageMaxSize: number) {
    const mesh = new Mesh(1, (name) => new Namespace(name));
    const router = new Router(1, { onPeerOverload() {}, onRetainedPublish() {} });
    router.retained = { retain: (_namespace, { topic }) => this.retained.push(topic) };
    const table = new SessionTable(mesh, router, {
      onDrop() {},
      refuseBytes: () => null,
      flightBytes: () => Number.POSITIVE_INFINITY,
      onDurable() {},
      whenDurable: async () => {},
      onMoved() {},
      mayPublishWill: () => true,
    });
    const logger: Logger = { ...QUIET, error: (_message, fields) => this.faults.push(String(fields?.['error'])) };
    const endpoint = {
      ...defaultEndpoint(1883),
      enableAuth: false,
      enableAcl: false,
      maxSendWindowSize: 10_000,
      maxReceiveWindowSize: 10_000,
      messageMaxSize,
    };
    this.endpoint = new EndpointContext(
      { endpoint, revision: 1, auth: [], acl: { order: 'first-match', default: 'allow', rules: [] }, tls: null },
      mesh.namespace(endpoint.namespace),
      new Float64Array(createCounters()),
      new SharedLimits(createSharedLimits()),
    );
    this.context = {
      mesh,
      router,
      table,
      directory: new LocalDirectory(mesh, table),
      authenticator: new Authenticator(
        { verify: async () => false, ask: async () => ({ result: 'ignore' }) },
        new LoginGate(new LoginMemory(createLoginMemory()), { userBurst: 10, userEveryMs: 200 }),
      ),
      retained: new RetainedQueries(mesh),
      bans: createBanIndex(),
      flapping: { isOver: () => false },
      barrier: new DurableBarrier(mesh),
      logger,
      memory: new MemoryBudget(createMemoryBlock(1e9), 0, heldMessages, () => ({ used: 0, limit: 1 })),
      probePrefix: 'probe-',
      paused: new Set(),
      held: new HeldPublishes(),
      store: new StoreState(createStoreState()),
      tick: 0,
    };
  }

  /** The client of a given connection. */
  clientOn(connection: Connection): Client {
    return new Client(connection, this.endpoint, this.context, PLACE, { dispatch, onClosed() {} });
  }

  /** A client that has sent nothing. @param isSlow its connection does not always take sent bytes at once */
  client(isSlow = false): { client: Client; wire: Wire } {
    const wire = new Wire(isSlow);
    const client = this.clientOn(wire);
    wire.onDrain = () => client.onDrain();
    return { wire, client };
  }
}

/** Resolves when all work postponed to the end of the loop iteration is done. Overwrites free memory, so that dangling references show. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 4; i++) await nextIteration();
}

/** One loop iteration has ended; memory that is free holds something else. */
export async function nextIteration(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  for (const buf of arena.unused()) buf.fill(0xee);
}
