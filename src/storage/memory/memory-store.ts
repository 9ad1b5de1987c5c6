/** The MEMORY store: the contract without durability, for tests and for brokers that are configured from a file. */

import { FluxError } from '../../kernel/errors.ts';
import type { EndpointStore } from '../contract.ts';

export function openMemoryStore(): EndpointStore {
  throw new FluxError('internal', 'being built');
}
