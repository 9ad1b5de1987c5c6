/** The groups of client identifiers that this endpoint worker decides about alone, and the sessions in them (src/thread/identifier-table.ts). */

import type { IdentifierTable } from '../../src/thread/identifier-table.ts';
import type { Session } from '../session/session.ts';

const NONE: Session[] = [];

export class OwnGroups {
  readonly #identifiers: IdentifierTable;
  readonly #self: number;
  /** group → its first session, the others by `nextOfGroup` */
  readonly #sessions = new Map<number, Session>();
  /** group → questions about it that the session worker has not answered */
  readonly #asked = new Map<number, number>();

  constructor(identifiers: IdentifierTable, self: number) {
    this.#identifiers = identifiers;
    this.#self = self;
  }

  /** True: whatever is claimed in the group now is decided here, and nobody else knows its identifiers. */
  take(group: number): boolean {
    return (this.#asked.size === 0 || !this.#asked.has(group)) && this.#identifiers.take(group, this.#self);
  }

  /** A session in a group that was taken. */
  add(session: Session, group: number): void {
    session.group = group;
    session.nextOfGroup = this.#sessions.get(group) ?? null;
    this.#sessions.set(group, session);
  }

  /** A session has ended. False: it is the session worker's. */
  remove(session: Session): boolean {
    const { group } = session;
    if (group < 0) return false;
    session.group = -1;
    const first = this.#sessions.get(group);
    if (first === session) {
      if (session.nextOfGroup !== null) this.#sessions.set(group, session.nextOfGroup);
      else {
        this.#sessions.delete(group);
        this.#identifiers.give(group, this.#self);
      }
    } else {
      let before = first;
      while (before !== undefined && before.nextOfGroup !== session) before = before.nextOfGroup ?? undefined;
      if (before !== undefined) before.nextOfGroup = session.nextOfGroup;
    }
    session.nextOfGroup = null;
    return true;
  }

  /** The session worker is asked about the group, which is its own from now on. @returns sessions that it has to be told of first */
  handOver(group: number): Session[] {
    this.#asked.set(group, (this.#asked.get(group) ?? 0) + 1);
    return this.#identifiers.handOver(group, this.#self) ? this.give(group) : NONE;
  }

  /** The session worker has answered one question about the group. */
  answered(group: number): void {
    const left = (this.#asked.get(group) ?? 0) - 1;
    if (left > 0) this.#asked.set(group, left);
    else this.#asked.delete(group);
  }

  /** A new session worker is told everything, and decides about everything. */
  handOverAll(): void {
    for (const group of [...this.#sessions.keys()]) {
      this.#identifiers.handOver(group, this.#self);
      this.give(group);
    }
  }

  /** Parts with the sessions of a group: the session worker is told of them. */
  give(group: number): Session[] {
    const sessions: Session[] = [];
    for (let session = this.#sessions.get(group) ?? null; session !== null; ) {
      const next: Session | null = session.nextOfGroup;
      session.group = -1;
      session.nextOfGroup = null;
      sessions.push(session);
      session = next;
    }
    this.#sessions.delete(group);
    return sessions;
  }
}
