/** The points in which the SQL of the stores differs between databases. */

import type { SqlConnection } from '../../database/connection.ts';
import type { HistoryDialect } from '../history-sql.ts';

export interface SqlDialect extends HistoryDialect {
  /** begins a read-only transaction that sees a single moment */
  beginRead: string;
  /** returns one row when the table with the schema version exists */
  findSchema: string;
  /** creates the tables step by step: statements that may be repeated after a crash within a step */
  steps: readonly (readonly string[])[];
  /** returns one row with the bytes of the tables */
  sizeOf: string;
  /** runs the work while no other node changes the schema; all or nothing where the database can */
  lockSchema(connection: SqlConnection, work: () => Promise<void>): Promise<void>;
}
