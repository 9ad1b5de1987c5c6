/** What changes between two forms of an endpoint, and how each change takes effect (SPEC.md section 2). */

import { FluxError } from '../kernel/errors.ts';
import type { Effect, Endpoint, KeyChange } from './endpoint.ts';

export function diffEndpoints(_from: Endpoint, _to: Endpoint): KeyChange[] {
  throw new FluxError('internal', 'being built');
}

export function hardestEffect(_changes: KeyChange[]): Effect {
  throw new FluxError('internal', 'being built');
}
