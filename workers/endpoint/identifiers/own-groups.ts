/** The groups of client identifiers that this endpoint worker decides about alone, with their sessions (src/thread/identifier-table.ts). */

import type { IdentifierTable } from '../../../src/thread/identifier-table.ts';
import type { Session } from '../../shared/session/session.ts';

const NONE: Session[] = [];

export class OwnGroups {
  readonly #identifiers: IdentifierTable;
  readonly #self: number;
  /** group → its first session; `nextOfGroup` links the others */
  readonly #sessions = new Map<number, Session>();
  /** group → claims that the session worker has not answered */
  readonly #asked = new Map<number, number>();

  constructor(identifiers: IdentifierTable, self: number) {
    this.#identifiers = identifiers;
    this.#self = self;
  }

  /** True when this worker decides about the group now and no other thread knows its identifiers. */
  take(group: number): boolean {
    return (this.#asked.size === 0 || !this.#asked.has(group)) && this.#identifiers.take(group, this.#self);
  }

  /** Adds a session to a group that this worker holds. */
  add(session: Session, group: number): void {
    session.group = group;
    session.nextOfGroup = this.#sessions.get(group) ?? null;
    this.#sessions.set(group, session);
  }

  /** Removes an ended session. Returns false for a session of the session worker. */
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

  /** Hands the group to the session worker with a claim. @returns sessions to register there first */
  handOver(group: number): Session[] {
    this.#asked.set(group, (this.#asked.get(group) ?? 0) + 1);
    return this.#identifiers.handOver(group, this.#self) ? this.give(group) : NONE;
  }

  /** The session worker has answered one claim of the group. */
  answered(group: number): void {
    const left = (this.#asked.get(group) ?? 0) - 1;
    if (left > 0) this.#asked.set(group, left);
    else this.#asked.delete(group);
  }

  /** Hands everything to a new session worker. */
  handOverAll(): void {
    for (const group of [...this.#sessions.keys()]) {
      this.#identifiers.handOver(group, this.#self);
      this.give(group);
    }
  }

  /** Gives up the sessions of a group, for registration at the session worker. */
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
