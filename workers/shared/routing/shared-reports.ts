/**
 * Reports to the relay about QoS 1 and 2 messages of other nodes that shared subscriptions brought here. The node that sent such a message keeps
 * it until it is settled here: when this node dies, another member gets it (docs/internals/nodes.md, Shared subscriptions).
 */

import { isForeign, type Message } from '../messages/message.ts';

/** Serials of one source that one group brought. The group is filter + NUL + name. */
export type SharedLine = [group: string, source: number, serials: number[]];

/** The client that a QoS 2 message is sent to, by its session key. */
export type SharedName = [group: string, source: number, serial: number, client: string];

/** Takes the reports; the relay. */
export interface SharedReader {
  /** @param isHeld false: the node that keeps the messages may forget them; true: they are at this node now, unsettled */
  settled(isHeld: boolean, lines: SharedLine[]): void;
  /** The node that keeps the messages shall know the names; known() follows. */
  named(request: number, names: SharedName[]): void;
}

interface Group {
  readonly filter: string;
  readonly name: string;
}

/** A delivery of a session; group null: an ordinary subscription brought it. */
interface Delivered {
  readonly message: Message;
  readonly group: Group | null;
}

interface Naming {
  readonly request: number;
  readonly names: SharedName[];
  readonly done: Promise<void>;
  readonly resolve: () => void;
}

export class SharedReports {
  #reader: SharedReader | null = null;
  readonly #settled = new Map<string, SharedLine>();
  readonly #held = new Map<string, SharedLine>();
  /** names of this loop iteration */
  #naming: Naming | null = null;
  readonly #open = new Map<number, Naming>();
  #last = 0;
  #latest: Promise<void> = Promise.resolve();
  #isScheduled = false;

  /** Null: no relay is linked, and nobody gets reports. */
  set reader(reader: SharedReader | null) {
    this.#reader = reader;
    if (reader !== null) return;
    this.#settled.clear();
    this.#held.clear();
    this.#naming?.resolve();
    this.#naming = null;
    for (const { resolve } of this.#open.values()) resolve();
    this.#open.clear();
  }

  /** True when another node keeps this delivery of a shared subscription until it is settled. */
  keeps({ message, group }: Delivered): boolean {
    return group !== null && this.#reader !== null && isForeign(message) && message.qos > 0;
  }

  /** The message goes to no other member: its client has it, or it is on disk, or it was dropped. Idempotent. */
  settled(message: Message, group: Group | null): void {
    if (group !== null && this.#reader !== null && isForeign(message) && message.qos > 0) this.#note(this.#settled, message, group);
  }

  /** Like settled(), when `stored` resolves. */
  stored(message: Message, group: Group, stored: Promise<void>): void {
    if (this.#reader !== null && isForeign(message)) void stored.then(() => this.settled(message, group));
  }

  /** Like settled(). A QoS 2 message is settled from PUBREC on. */
  settle({ message, group, isReleased }: Delivered & { readonly isReleased: boolean }): void {
    if (!isReleased) this.settled(message, group);
  }

  /** A session that came from another node or thread has brought the message. */
  held({ message, group, isReleased }: Delivered & { readonly isReleased: boolean }): void {
    if (group !== null && !isReleased && this.#reader !== null) this.#note(this.#held, message, group);
  }

  #note(lines: Map<string, SharedLine>, { source, serial }: Message, { filter, name }: Group): void {
    const group = `${filter}\0${name}`;
    const key = `${source} ${group}`;
    const line = lines.get(key);
    if (line === undefined) lines.set(key, [group, source, [serial]]);
    else line[2].push(serial);
    this.#schedule();
  }

  /**
   * Resolves when the message may be sent: the node that keeps a QoS 2 message knows its client first, or is not linked. Any other message
   * waits for those named before, so that it does not overtake them.
   * @param client session key
   */
  whenSendable(delivery: Delivered & { readonly qos: 1 | 2 }, client: string): Promise<void> {
    const { message, group, qos } = delivery;
    return qos === 2 && group !== null && this.keeps(delivery) ? this.#name(message, group, client) : this.#latest;
  }

  #name({ source, serial }: Message, { filter, name }: Group, client: string): Promise<void> {
    if (this.#naming === null) {
      let resolve = (): void => {};
      const done = new Promise<void>((then) => {
        resolve = then;
      });
      this.#naming = { request: ++this.#last, names: [], done, resolve };
      this.#latest = done;
      this.#schedule();
    }
    this.#naming.names.push([`${filter}\0${name}`, source, serial, client]);
    return this.#naming.done;
  }

  known(request: number): void {
    this.#open.get(request)?.resolve();
    this.#open.delete(request);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#isScheduled = false;
    const reader = this.#reader;
    if (reader === null) return;
    for (const [isHeld, lines] of [
      [true, this.#held],
      [false, this.#settled],
    ] as const) {
      if (lines.size > 0) reader.settled(isHeld, [...lines.values()]);
      lines.clear();
    }
    const naming = this.#naming;
    if (naming === null) return;
    this.#naming = null;
    this.#open.set(naming.request, naming);
    reader.named(naming.request, naming.names);
  }
}
