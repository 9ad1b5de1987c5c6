/** The wire of the links over core publish and subscribe of NATS: frames go to a node by its name, and nobody else hears them. */

import { Events, type NatsConnection } from 'nats';
import { FluxError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { FRAME_BYTES_MAX } from '../../link/frame.ts';
import type { NodeWire, Presence } from '../node-wire.ts';
import type { BusSettings } from '../settings.ts';
import { nodeOfWord, subjectsOf, wordOf } from '../subjects.ts';
import { presenceAt, ServerList } from './listening.ts';
import { NatsLink } from './nats-link.ts';
import { socketOf } from './server-watch.ts';

/**
 * Bytes that may wait in the socket, beside one frame. nats.js buffers without a limit, and a NATS server cuts a client off at 64 MiB. Two windows
 * of a link fit.
 */
const WAITING_BYTES_MAX = 8 * 1024 * 1024;

/**
 * A transport of its own connection, which reconnects without a limit and leaves silent servers.
 * @param name shown in the server's list of connections
 * @param node name of this node, which permissions of NATS can tie to a login: publish `<cluster>.x.*.<node>`, subscribe `<cluster>.x.<node>.*`
 */
export function openNatsWire(settings: BusSettings, name: string, cluster: string, node: string, logger: Logger): NodeWire {
  return new NatsWire(settings, name, cluster, node, logger);
}

class NatsWire implements NodeWire {
  readonly #logger: Logger;
  readonly #prefix: string;
  readonly #self: string;
  readonly #alive: (process: number) => string;
  readonly #link: NatsLink;
  /** subjects by name of node */
  readonly #subjects = new Map<string, string>();
  #servers = new ServerList();
  #onFrame: (node: string, frame: Uint8Array) => void = () => {};
  #onState: (isConnected: boolean) => void = () => {};

  constructor(settings: BusSettings, name: string, cluster: string, node: string, logger: Logger) {
    this.#logger = logger;
    this.#prefix = `${cluster}.x`;
    this.#self = wordOf(node);
    this.#alive = subjectsOf(cluster).alive;
    this.#link = new NatsLink(settings, name, {
      onConnected: (connection) => this.#open(connection),
      onState: (state) => {
        if (state.connected) logger.info('Cluster: the wire is connected to NATS', { server: state.server });
        else logger.warn('Cluster: the wire has no connection to NATS', { reason: state.reason });
        this.#onState(state.connected);
      },
    });
  }

  send(node: string, frame: Uint8Array): boolean {
    const { connection, state } = this.#link;
    if (connection === null || !state.connected || (socketOf(connection)?.writableLength ?? 0) > WAITING_BYTES_MAX) return false;
    try {
      connection.publish(this.#subjectTo(node), frame);
      return true;
    } catch {
      // The connection is about to close; the state will say why.
      return false;
    }
  }

  async presence(node: string, process: number): Promise<Presence> {
    const { connection, state } = this.#link;
    if (connection === null || !state.connected) return 'unknown';
    return await presenceAt(connection, [this.#subjectTo(node), this.#alive(process)]);
  }

  settledMs(): number {
    const { connection, state } = this.#link;
    return connection === null || !state.connected ? 0 : this.#servers.settledMs(connection);
  }

  onFrame(listener: (node: string, frame: Uint8Array) => void): void {
    this.#onFrame = listener;
  }

  onState(listener: (isConnected: boolean) => void): void {
    this.#onState = listener;
    listener(this.#link.state.connected);
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  #subjectTo(node: string): string {
    const known = this.#subjects.get(node);
    if (known !== undefined) return known;
    const subject = `${this.#prefix}.${wordOf(node)}.${this.#self}`;
    this.#subjects.set(node, subject);
    return subject;
  }

  /** @throws FluxError `unavailable` when the server takes no frame of the largest size */
  async #open(connection: NatsConnection): Promise<void> {
    const taken = connection.info?.max_payload ?? FRAME_BYTES_MAX;
    if (taken < FRAME_BYTES_MAX)
      throw new FluxError(
        'unavailable',
        `max_payload of ${connection.getServer()} is ${taken} bytes; frames have up to ${FRAME_BYTES_MAX}`,
      );
    this.#servers = new ServerList();
    void this.#watch(connection);
    connection.subscribe(`${this.#prefix}.${this.#self}.*`, {
      callback: (error, message) => {
        if (error === null) this.#heard(message.subject, message.data);
        else
          this.#logger.error('Cluster: NATS refuses the subscription for messages of other nodes', {
            subject: `${this.#prefix}.${this.#self}.*`,
            error: error.message,
          });
      },
    });
    await connection.flush();
  }

  #heard(subject: string, frame: Uint8Array): void {
    // A node asks whether this node listens.
    if (frame.length === 0) return;
    const node = nodeOfWord(subject.slice(subject.lastIndexOf('.') + 1));
    if (node !== null) this.#onFrame(node, frame);
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const { type, data } of connection.status()) {
      if (type === Events.Error) this.#logger.warn('Cluster: NATS reports an error on the wire', { error: String(data) });
    }
  }
}
