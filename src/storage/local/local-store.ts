/** The LOCAL store: one SQLite file in the data folder, durable at each commit. */

import { FluxError } from '../../kernel/errors.ts';
import type { EndpointStore } from '../contract.ts';

export async function openLocalStore(_options: { dataPath: string }): Promise<EndpointStore> {
  throw new FluxError('internal', 'being built');
}
