/**
 * The wills of clients in a cluster, in the session worker: each is kept by another node, which publishes it when this one dies
 * (docs/internals/nodes.md, Wills in a cluster).
 */

import { deserialize, serialize } from 'node:v8';
import { steadyNow } from '../../src/kernel/clock.ts';
import type { ClaimCounts } from '../../src/thread/commands.ts';
import type { Mesh } from '../shared/mesh/mesh.ts';
import { toWireWill } from '../shared/session/pending-will.ts';
import type { Session } from '../shared/session/session.ts';
import type { SessionTable } from '../shared/table/session-table.ts';
import type { Claim, Control, DueWill, HeldWill } from '../shared/wire/controls.ts';
import type { Holder } from '../shared/wire/holder.ts';
import type { Ask } from '../shared/wire/identifier-news.ts';
import type { WillName, WillNews, WillToKeep } from '../shared/wire/will-news.ts';
import { KeptWills } from './cluster/wills/kept-wills.ts';
import { OwnWills } from './cluster/wills/own-wills.ts';
import type { Registry } from './identifiers/registry.ts';

/** After a start, the wills of restored sessions wait at most so long for the nodes that may have published them, ms. */
const TOLD_MS = 10_000;

export interface ClusterWillsOptions {
  /** name of this node */
  node: string;
  graceMs: number;
  mesh: Mesh;
  table: SessionTable;
  registry(): Pick<Registry, 'find'>;
  /** Publishes the will of a client of a node that has died. */
  publish(namespace: string, clientId: string, due: DueWill, holder: Holder): void;
  /** The session of an offline client here has lost its will: it has been published. */
  onPublished(session: Session): void;
  send(node: string, news: WillNews): void;
}

export class ClusterWills {
  readonly #options: ClusterWillsOptions;
  readonly #own: OwnWills;
  readonly #kept: KeptWills;
  readonly #startedAt = steadyNow();
  /** nodes that have not said yet which wills they have published */
  readonly #untold = new Set<string>();
  #isLinked = false;
  #published = 0;
  #refused = 0;

  constructor(options: ClusterWillsOptions) {
    this.#options = options;
    const ports = { now: steadyNow, send: options.send, refused: () => void this.#refused++ };
    this.#own = new OwnWills({ ...ports, publish: (will) => this.#publish(will) });
    const publish = (will: WillToKeep) => {
      this.#published++;
      this.#publish(will);
    };
    this.#kept = new KeptWills({ ...ports, self: options.node, publish }, options.graceMs);
  }

  get counts(): Pick<ClaimCounts, 'willsKept' | 'willsPublished' | 'willsRefused'> {
    return { willsKept: this.#kept.size, willsPublished: this.#published, willsRefused: this.#refused };
  }

  /** Wills of offline sessions wait: other nodes may have published them while this one was away. */
  get isHeld(): boolean {
    return (!this.#isLinked || this.#untold.size > 0) && steadyNow() - this.#startedAt < TOLD_MS;
  }

  /** The relay is linked, or is not waited for. */
  linked(): void {
    this.#isLinked = true;
  }

  /** A claim is granted. */
  granted(claim: Claim): void {
    if (claim.held === undefined) this.#own.settled(claim.namespace, claim.clientId);
    else this.#owe(claim, claim.held);
  }

  #owe(
    { namespace, clientId, stamp = 0, isDurable, endpoint, connection }: Omit<Claim, 'cleanStart' | 'user' | 'maxSessions'>,
    held: HeldWill,
  ): void {
    const { user } = held.holder;
    const { delayMs } = held.will;
    this.#own.owe({ namespace, clientId, stamp, user, isDurable, delayMs, body: encode(endpoint, held) }, connection);
  }

  /** Reads the controls of endpoint workers about their clients. To be called before the registry handles them. */
  see(control: Control): void {
    if (control.t === 'ended' || (control.t === 'gone' && !control.hasWill))
      this.#own.settled(control.namespace, control.clientId, control.connection);
    else if (control.t === 'register' || control.t === 'revoked') {
      for (const session of control.sessions) if (session.held !== undefined) this.#owe(session, session.held);
    }
  }

  /** The will of a session of this worker: of a client that has left, or one that was restored from disk. */
  hosted({ namespace, clientId, stamp, isDurable, endpoint, will, holder, expirySeconds }: Session): void {
    if (will === null || holder === null) this.#own.settled(namespace.name, clientId);
    else {
      const name = { namespace: namespace.name, clientId, stamp, isDurable, endpoint, connection: 0, expirySeconds };
      this.#owe(name, { will: toWireWill(will), holder });
    }
  }

  /** The session has come here from a node that stops. */
  adopted(namespace: string, clientId: string): void {
    const session = this.#options.table.get(namespace, clientId);
    if (session !== undefined) this.hosted(session);
  }

  /** The will of this session is published, or the rules forbid that. */
  settled({ namespace, clientId }: Session): void {
    this.#own.settled(namespace.name, clientId);
  }

  /** A client claims the identifier at this node or another one. */
  claimed({ user, cleanStart, ...name }: Pick<Ask, 'user' | 'cleanStart' | 'namespace' | 'clientId' | 'stamp'>): void {
    this.#kept.claimed(name, user, cleanStart);
    if (cleanStart) this.#own.startsClean(name.namespace, name.clientId);
  }

  /** A node has granted a claim without this one. */
  met(name: WillName): void {
    this.#kept.claimed(name, null, true);
  }

  /** A client that is offline here has connected at another node: its former will is not due any more [MQTT-3.1.3-9]. */
  cancel(namespace: string, clientId: string): void {
    const session = this.#options.table.get(namespace, clientId);
    if (session === undefined || session.outlet !== null) return;
    session.will = null;
    this.settled(session);
  }

  /** The session here has been given up for a client of another node. */
  left(namespace: string, clientId: string): void {
    this.#own.left(namespace, clientId);
  }

  /** @param process number of the process of this node */
  nodeUp(node: string, process: number): void {
    this.#kept.nodeUp(node);
    this.#own.nodeUp(node, process);
    this.#untold.add(node);
  }

  nodeDown(node: string, isCutOff: boolean): void {
    this.#own.nodeDown(node);
    this.#kept.nodeDown(node, isCutOff);
    this.#untold.delete(node);
  }

  onNews(node: string, news: WillNews): void {
    if (news.t !== 'will-told') {
      this.#kept.onNews(node, news);
      return;
    }
    for (const each of news.published) if (each.node === this.#options.node) this.#told(each);
    this.#kept.onTold(news.published);
    if (news.isLast) this.#untold.delete(node);
  }

  #told(name: WillName): void {
    const { registry, mesh, table, onPublished } = this.#options;
    const { namespace, clientId, stamp } = name;
    this.#own.published(name);
    const entry = registry().find(namespace, clientId);
    if (entry === undefined || entry.stamp !== stamp || entry.owner === null) return;
    if (entry.owner !== mesh.self) {
      mesh.links.get(entry.owner)?.control({ t: 'will-told', namespace, clientId, connection: entry.connection });
      return;
    }
    const session = table.get(namespace, clientId);
    if (session === undefined || session.will === null) return;
    session.will = null;
    onPublished(session);
  }

  #publish({ namespace, clientId, body }: WillToKeep): void {
    const { endpoint, held } = decode(body);
    this.#options.publish(namespace, clientId, { will: held.will, endpoint }, held.holder);
  }

  /** A worker has died, with the sessions in its memory: their wills are due. To be called before the registry gives their identifiers to others. */
  workerDied(peer: number): void {
    const registry = this.#options.registry();
    this.#own.workerDied(({ namespace, clientId, stamp, isDurable, delayMs }, connection) => {
      const entry = registry.find(namespace, clientId);
      if (isDurable || entry?.owner !== peer || entry.stamp !== stamp || entry.connection !== connection) return null;
      const { step } = entry;
      // The session is on its way to another worker, which knows the will if the session arrives.
      if (step?.kind === 'fetch' ? step.isTaking : step?.kind === 'claim' && step.stage === 'move') return null;
      return Math.min(delayMs, entry.expirySeconds * 1000);
    });
  }

  /** A worker has died, perhaps with sessions whose wills are kept elsewhere. */
  prune(): void {
    const registry = this.#options.registry();
    this.#own.prune(({ namespace, clientId, stamp }) => {
      const entry = registry.find(namespace, clientId);
      return entry !== undefined && entry.owner !== null && entry.stamp === stamp;
    });
  }

  /** To be called a few times a second. */
  sweep(): void {
    this.#own.tick();
    this.#kept.tick();
  }
}

function encode(endpoint: string, held: HeldWill): string {
  return serialize({ endpoint, held }).toString('base64');
}

function decode(body: string): { endpoint: string; held: HeldWill } {
  return deserialize(Buffer.from(body, 'base64')) as { endpoint: string; held: HeldWill };
}
