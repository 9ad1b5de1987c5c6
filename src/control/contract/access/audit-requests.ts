/** The audit of requests (docs/audit.md). */

import type { AuditAnswer } from '../../../answers/audit.ts';

/** A request that was answered. */
export interface NewAuditRecord {
  /** null: nobody has logged in */
  actor: string | null;
  role: string | null;
  /** of the client; null: it came over NATS */
  address: string | null;
  source: 'http' | 'cli' | 'nats';
  /** method and route */
  action: string;
  /** body and query; of them the audit keeps some keys, which hold no secrets */
  given: Record<string, unknown>;
  status: number;
  /** kind of the error; null: it was done */
  error: string | null;
  revision: number | null;
  requestId: string;
}

/** Which entries a list shows. */
export interface AuditQuery {
  /** exactly this actor */
  actor?: string | undefined;
  /** part of method and route */
  action?: string | undefined;
  /** only refused ones, or only others */
  refused?: boolean | undefined;
  /** wall milliseconds, inclusive */
  since?: number | undefined;
  /** wall milliseconds, inclusive */
  until?: number | undefined;
  /** where the former page ended */
  after?: string | undefined;
  /** entries at most, 1..1000 */
  limit: number;
}

export interface AuditRequests {
  /** Takes an entry. Never waits and never fails: what the store cannot take is counted. */
  note(record: NewAuditRecord): void;
  /** Newest first. A page may be shorter than `limit`. @throws FluxError `invalid` */
  list(query: AuditQuery): Promise<AuditAnswer>;
}
