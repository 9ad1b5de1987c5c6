/** A client with a durable session that connects again, and again, until its node takes it. */

import { messageOf } from '../../../../src/kernel/errors.ts';
import type { PacketOf, ServerPacket } from '../../../kit/decode.ts';
import type { ConnectOptions, Version } from '../../../kit/encode.ts';
import * as encode from '../../../kit/encode.ts';
import { RawClient } from '../../../kit/raw-client.ts';
import { sleep } from '../../../kit/until.ts';
import type { ChaosNode } from '../field.ts';
import type { World } from './world.ts';

/** A frozen node answers after its thaw. */
const CONNACK_MS = 30_000;
const AGAIN_MS = 60;
const EXPIRY_S = 3_600;
/** Codes of CONNACK that ask for another attempt: MQTT 5 and 3.1.1. */
const LATER: readonly number[] = [0x88, 0x89, 0x97, 3];

export class Steady {
  readonly world: World;
  readonly id: string;
  readonly version: Version;
  node: ChaosNode;
  #client: RawClient | null = null;
  #isOver = false;
  #hasSession = false;

  constructor(world: World, id: string, node: ChaosNode, version: Version = 5) {
    this.world = world;
    this.id = id;
    this.node = node;
    this.version = version;
  }

  /** null while it is not connected */
  get client(): RawClient | null {
    return this.#client;
  }

  protected onPacket(_client: RawClient, _packet: ServerPacket): void {}

  /** The connection ended although the client did not want that. */
  protected onEnd(): void {}

  /** @param isResumed the broker has the session of the connections before */
  protected onConnected(_client: RawClient, _isResumed: boolean): void {}

  /** The broker had no session for a client that had one. */
  protected onSessionLost(): void {
    this.world.trace.fault('session', `${this.id} has no session at ${this.node.name}`);
  }

  /** Connects for the first time, and whenever the connection ends. */
  async begin(): Promise<this> {
    await this.#connect();
    return this;
  }

  /** Leaves, with or without a DISCONNECT, and connects elsewhere. Without `isFirst` the new connection takes over. */
  async moveTo(node: ChaosNode, isFirst: boolean): Promise<void> {
    const old = this.#client;
    this.#client = null;
    if (old !== null) old.tap = () => undefined;
    if (isFirst) old?.destroy();
    this.node = node;
    await this.#connect();
    old?.destroy();
  }

  async #connect(): Promise<void> {
    while (!this.#isOver) {
      try {
        if (await this.#attempt()) return;
      } catch {
        // The node is dead, or died during the attempt.
      }
      await sleep(AGAIN_MS);
    }
  }

  async #attempt(): Promise<boolean> {
    const client = await RawClient.open('tcp', this.world.port, this.version, this.node.address);
    let connack: PacketOf<'connack'>;
    try {
      const options: ConnectOptions = { clientId: this.id, clean: false, keepAlive: 0 };
      if (this.version === 5) options.properties = { sessionExpiry: EXPIRY_S };
      client.send(encode.connect(this.version, options));
      connack = await client.expect('connack', CONNACK_MS);
    } catch (error) {
      client.destroy();
      throw error;
    }
    if (connack.code !== 0 || this.#isOver) {
      client.destroy();
      if (connack.code !== 0) this.#refused(connack.code);
      return false;
    }
    if (this.#hasSession && !connack.sessionPresent) this.onSessionLost();
    const isResumed = this.#hasSession && connack.sessionPresent;
    this.#hasSession = true;
    this.#client = client;
    client.tap = (packet) => this.#handle(client, packet);
    client.transport.onClose(() => this.#ended(client));
    this.onConnected(client, isResumed);
    for (const packet of client.inbox.splice(0)) client.tap(packet);
    if (client.isClosed) this.#ended(client);
    return true;
  }

  #refused(code: number): void {
    this.world.trace.count(`CONNACK 0x${code.toString(16)}`);
    if (!LATER.includes(code)) this.world.trace.fault('refused', `${this.id} at ${this.node.name}: CONNACK 0x${code.toString(16)}`);
  }

  #handle(client: RawClient, packet: ServerPacket): void {
    try {
      this.onPacket(client, packet);
    } catch (error) {
      this.world.trace.fault('refused', `${this.id}: ${messageOf(error)}`);
    }
  }

  #ended(client: RawClient): void {
    if (this.#client !== client) return;
    this.#client = null;
    if (this.#isOver) return;
    this.onEnd();
    void this.#connect();
  }

  /** Ends for good. */
  end(): void {
    this.#isOver = true;
    const client = this.#client;
    this.#client = null;
    client?.destroy();
  }
}
