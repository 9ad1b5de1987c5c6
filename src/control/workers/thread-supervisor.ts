/** Owns the worker threads: one session worker, endpoint workers on demand with a warm spare, and their mesh. */

import type { RelayBoot } from '../../bus/relay.ts';
import type { FlappingLimits } from '../../endpoint/bans/flapping.ts';
import { Backoff } from '../../kernel/backoff.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { Deadline, pause } from '../../kernel/deadline.ts';
import { Emitter, type Subscribable } from '../../kernel/emitter.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { LogFields, Logger, LogLevel } from '../../kernel/logger.ts';
import { createLoginMemory } from '../../kernel/logins/login-memory.ts';
import { descriptorLimit } from '../../kernel/system/descriptors.ts';
import type { WorkerRole } from '../../thread/commands.ts';
import { createHeartbeat } from '../../thread/heartbeat.ts';
import { createIdentifierTable, IdentifierTable } from '../../thread/identifier-table.ts';
import { createMemoryBlock, defaultBudget, NodeMemory } from '../../thread/memory-budget.ts';
import { createMessageNumbers, readConflicts } from '../../thread/message-numbers.ts';
import { createStoreState, StoreState } from '../../thread/store-state.ts';
import { type QuestionHandlers, type WorkerExit, WorkerHandle } from '../../thread/worker-handle.ts';
import { MeshWiring } from './mesh-wiring.ts';
import { RelayThread } from './relay-thread.ts';

export interface ThreadSupervisorOptions {
  node: string;
  version: string;
  /** folder of durable sessions; null: nothing on disk */
  dataPath: string | null;
  urls: { session: URL; endpoint: URL; relay: URL };
  /** null: no messages cross to other nodes */
  relay: RelayBoot | null;
  logger: Logger;
  questions: QuestionHandlers;
  /** Makes an endpoint worker ready for its first endpoint. */
  prepare?: (worker: WorkerHandle, deadline: Deadline) => Promise<void>;
  /** see `WorkerBoot` */
  probePrefix: string;
  /** null: clients may connect as often as they like */
  flapping: FlappingLimits | null;
  onFlapping: (namespace: string, clientId: string) => void;
  /** bytes that clients may make the node hold; null: a share of the machine's memory */
  memoryBudget: number | null;
}

/** Addresses of right logins, eight in a set. */
const KNOWN_SETS = 8_192;
/** Clients whose connects are counted, eight in a set; beyond them the one with the fewest connects is forgotten. */
const FLAPPING_SETS = 2_048;
/** Time from `new Worker` to `ready`. Measured 55 ms; a busy machine may need much longer. */
const START_TIMEOUT_MS = 20_000;
/** Time from `peer.add` to the peer's interest. */
const JOIN_TIMEOUT_MS = 10_000;
/** Delay of a new spare: it starts after the change that took the old one, to leave the CPU to it, and early enough for the next change. */
const SPARE_DELAY_MS = 50;
/** No spare starts earlier than this after the node: the clients that come back need the CPU first. */
const SPARE_AFTER_START_MS = 10_000;

/**
 * A worker is `taken` (by an endpoint), the `spare`, or the `session` worker. `lost` reports a taken worker that ends by itself; the
 * supervisor replaces the spare and the session worker.
 */
export class ThreadSupervisor {
  readonly #lost = new Emitter<[worker: WorkerHandle, exit: WorkerExit]>();
  /** A taken worker has ended without release(). */
  readonly lost: Subscribable<[worker: WorkerHandle, exit: WorkerExit]> = this.#lost;
  readonly #options: ThreadSupervisorOptions;
  readonly #mesh: MeshWiring;
  readonly #alive = new Set<WorkerHandle>();
  readonly #stopping = new AbortController();
  readonly #sessionBackoff = new Backoff();
  readonly #identifiers = createIdentifierTable();
  readonly #memoryBlock: SharedArrayBuffer;
  /** the memory that threads hold for their clients */
  readonly memory: NodeMemory;
  readonly #numbers = createMessageNumbers();
  readonly #logins = createLoginMemory();
  readonly #knownLogins = createLoginMemory(KNOWN_SETS);
  readonly #connects = createLoginMemory(FLAPPING_SETS);
  readonly #storeState = createStoreState();
  /** whether messages can be stored */
  readonly messages = new StoreState(this.#storeState);
  /** carries messages to and from other nodes; null: none cross */
  readonly relay: RelayThread | null;
  readonly #startedAt = steadyNow();
  #nextPeer = 1;
  #restarts = 0;
  #session: WorkerHandle | null = null;
  #sessionUp: Promise<void> = Promise.resolve();
  #spare: WorkerHandle | null = null;
  #spareTimer: NodeJS.Timeout | null = null;
  #warming: Promise<void> | null = null;
  /** a caller waits for the spare that is starting */
  #isPromised = false;

  constructor(options: ThreadSupervisorOptions) {
    this.#options = options;
    this.#mesh = new MeshWiring(options.logger);
    const { relay, logger } = options;
    this.relay = relay === null ? null : new RelayThread({ launch: () => this.#launch('relay'), signal: this.#stopping.signal, logger });
    this.#memoryBlock = createMemoryBlock(options.memoryBudget ?? defaultBudget());
    this.memory = new NodeMemory(this.#memoryBlock);
    const descriptors = descriptorLimit();
    if (descriptors !== null) this.memory.limitDescriptors(descriptors);
  }

  /** Worker threads replaced since the start. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Messages that carried the number of another message, since the start; none of them was lost. */
  get identityConflicts(): number {
    return readConflicts(this.#numbers);
  }

  /** Every living thread. */
  get workers(): WorkerHandle[] {
    return [...this.#alive];
  }

  /** False while the session worker is being replaced. */
  get hasSession(): boolean {
    return this.#session !== null;
  }

  /** The session worker. @throws FluxError `unavailable` while it is being replaced */
  get session(): WorkerHandle {
    if (this.#session === null) throw new FluxError('unavailable', 'the session worker is being replaced');
    return this.#session;
  }

  /** Starts the session worker. @throws FluxError when it cannot start */
  async start(): Promise<void> {
    const up = this.#launch('session').then((worker) => {
      this.#session = worker;
    });
    this.#sessionUp = up;
    await up;
    // Nobody waits for it here: acknowledgements wait until it is linked with the other nodes.
    void this.relay?.start();
    this.#warmLater();
  }

  /**
   * A ready endpoint worker that knows every peer: the spare, or a new one.
   * @throws FluxError `unavailable` (stopping), `timeout` (no session worker, a silent peer), or the error of the worker's start
   */
  async acquire(deadline: Deadline): Promise<WorkerHandle> {
    const taken = this.#takeSpare() ?? (await this.#takeWarming(deadline)) ?? (await this.#launchBy(deadline));
    try {
      if (!(await deadline.reaches(this.#sessionUp))) throw new FluxError('timeout', 'the session worker is not available');
      if (!taken.isUsable) throw new FluxError('unavailable', `${taken.name} has ended`);
      await this.#mesh.join(taken, Math.min(JOIN_TIMEOUT_MS, deadline.leftMs));
      await this.#options.prepare?.(taken, deadline);
      return taken;
    } catch (error) {
      void this.release(taken, deadline.leftMs);
      throw error;
    } finally {
      this.#warmLater();
    }
  }

  /** Ends a worker in order. Its peers forget it afterwards, so that its last batches still reach them. */
  async release(worker: WorkerHandle, timeoutMs: number): Promise<void> {
    await worker.stop(timeoutMs);
  }

  /** Counts a worker that an endpoint replaced. */
  countRestart(): void {
    this.#restarts++;
  }

  /**
   * Ends every thread: endpoint workers first, because they hand their sessions to the session worker.
   * @param timeoutMs for the whole stop
   * @returns true when every thread ended in order
   */
  async stop(timeoutMs: number): Promise<boolean> {
    this.#stopping.abort();
    if (this.#spareTimer !== null) clearTimeout(this.#spareTimer);
    const deadline = new Deadline(timeoutMs);
    const endpointWorkers = this.workers.filter((worker) => worker.boot.role === 'endpoint');
    // The session worker gets the last third of the time, because it may have much to write.
    const ended = await Promise.all(endpointWorkers.map((worker) => worker.stop(Math.ceil((timeoutMs * 2) / 3))));
    const session = await Promise.all(this.workers.map((worker) => worker.stop(deadline.leftMs)));
    return [...ended, ...session].every(Boolean);
  }

  /** A new endpoint worker without peers; a late one becomes the spare. @throws FluxError `timeout`, or the error of the start */
  async #launchBy(deadline: Deadline): Promise<WorkerHandle> {
    const launching = this.#launch('endpoint');
    if (await deadline.reaches(launching)) return launching;
    void launching.then(
      (late) => {
        if (this.#spare?.isUsable === true) void this.release(late, JOIN_TIMEOUT_MS);
        else this.#spare = late;
      },
      (error: unknown) => this.#options.logger.error('an endpoint worker could not be started', { reason: messageOf(error) }),
    );
    throw new FluxError('timeout', 'no worker thread was ready in time');
  }

  #takeSpare(): WorkerHandle | null {
    const spare = this.#spare;
    this.#spare = null;
    return spare?.isUsable === true ? spare : null;
  }

  /** The spare that is starting, for the first caller: it is ready sooner than a worker that starts now. */
  async #takeWarming(deadline: Deadline): Promise<WorkerHandle | null> {
    if (this.#warming === null || this.#isPromised) return null;
    this.#isPromised = true;
    await deadline.reaches(this.#warming);
    this.#isPromised = false;
    return this.#takeSpare();
  }

  #warmLater(): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#spareTimer !== null) clearTimeout(this.#spareTimer);
    this.#spareTimer = setTimeout(
      () => {
        this.#spareTimer = null;
        this.#warming ??= this.#warm().finally(() => {
          this.#warming = null;
        });
      },
      Math.max(SPARE_DELAY_MS, this.#startedAt + SPARE_AFTER_START_MS - steadyNow()),
    );
  }

  async #warm(): Promise<void> {
    if (this.#spare?.isUsable === true) return;
    try {
      this.#spare = await this.#launch('endpoint');
    } catch (error) {
      if (!this.#stopping.signal.aborted)
        this.#options.logger.error('no spare endpoint worker could be started', { reason: messageOf(error) });
    }
  }

  /** A new worker. An endpoint worker gets its peers in acquire(): peers would send every change of a filter to an idle spare. */
  async #launch(role: WorkerRole): Promise<WorkerHandle> {
    if (this.#stopping.signal.aborted) throw new FluxError('unavailable', 'the node is stopping');
    const { node, version, dataPath, probePrefix, urls, questions, relay, flapping, onFlapping } = this.#options;
    const boot = {
      role,
      peer: this.#nextPeer++,
      node,
      version,
      dataPath: role === 'session' ? dataPath : null,
      heartbeat: createHeartbeat(),
      identifiers: this.#identifiers,
      numbers: this.#numbers,
      memory: this.#memoryBlock,
      memorySlot: this.memory.takeSlot(),
      logins: this.#logins,
      knownLogins: this.#knownLogins,
      flapping: flapping === null ? null : { limits: flapping, memory: this.#connects },
      storeState: this.#storeState,
      probePrefix,
      hasRelay: relay !== null,
      prefersOwnMembers: relay?.sharedSubscriptions === 'local',
      willGraceMs: relay?.willGraceMs ?? 0,
      relay: role === 'relay' ? relay : null,
    };
    const worker = new WorkerHandle(urls[role], boot, {
      questions,
      onLog: (level: LogLevel, message: string, fields: LogFields) => this.#options.logger[level](message, fields),
      onFlapping,
      onExit: (exit) => this.#exited(worker, exit),
    });
    this.#alive.add(worker);
    await worker.start(START_TIMEOUT_MS);
    if (role === 'endpoint') return worker;
    try {
      await this.#mesh.join(worker, JOIN_TIMEOUT_MS);
    } catch (error) {
      await worker.stop(JOIN_TIMEOUT_MS);
      throw error;
    }
    return worker;
  }

  #exited(worker: WorkerHandle, exit: WorkerExit): void {
    this.#alive.delete(worker);
    this.memory.freeSlot(worker.boot.memorySlot);
    // This comes before its peers hear of the end, because they may claim its identifiers at once.
    new IdentifierTable(this.#identifiers).forget(worker.peer);
    void this.#mesh.leave(worker);
    if (exit.expected || this.#stopping.signal.aborted) return;
    if (worker === this.#session) this.#replaceSession(exit);
    else if (worker.boot.role === 'relay') {
      this.#restarts++;
      this.relay?.ended(exit.reason);
    } else if (worker === this.#spare) {
      this.#options.logger.warn('the spare endpoint worker ended', { reason: exit.reason });
      this.#spare = null;
      this.#restarts++;
      this.#warmLater();
    } else this.#lost.emit(worker, exit);
  }

  #replaceSession(exit: WorkerExit): void {
    this.#session = null;
    this.#options.logger.error('the session worker ended and is replaced', { reason: exit.reason });
    this.#sessionUp = this.#restartSession();
  }

  async #restartSession(): Promise<void> {
    const signal = this.#stopping.signal;
    while (!signal.aborted) {
      await pause(this.#sessionBackoff.failed(), signal);
      try {
        this.#session = await this.#launch('session');
        this.#restarts++;
        this.#options.logger.info('the session worker is back', { worker: this.#session.name });
        return;
      } catch (error) {
        if (!signal.aborted) this.#options.logger.error('the session worker could not be started', { reason: messageOf(error) });
      }
    }
  }
}
