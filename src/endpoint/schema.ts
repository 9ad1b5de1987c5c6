/** Turns unknown input into a complete Endpoint, all problems at once (SPEC.md section 2). */

import { FluxError } from '../kernel/errors.ts';
import type { AclConfig, AuthConfig, Endpoint } from './endpoint.ts';

export interface ParsedEndpoint {
  endpoint: Endpoint;
  warnings: string[];
}

export function parseEndpoint(_input: unknown): ParsedEndpoint {
  throw new FluxError('internal', 'being built');
}

export function mergeEndpoint(_current: Endpoint, _patch: Record<string, unknown>): ParsedEndpoint {
  throw new FluxError('internal', 'being built');
}

export function parseAuthList(_input: unknown): AuthConfig[] {
  throw new FluxError('internal', 'being built');
}

export function parseAcl(_input: unknown): AclConfig {
  throw new FluxError('internal', 'being built');
}

export function toPublicEndpoint(_endpoint: Endpoint): Record<string, unknown> {
  throw new FluxError('internal', 'being built');
}
