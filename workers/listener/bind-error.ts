/** A failed bind of a listener, in the words that users grep for (docs/metrics-and-logs.md). */

import { FluxError } from '../../src/kernel/errors.ts';

/** @param error what net reported */
export function toBindError(error: NodeJS.ErrnoException, host: string, port: number): FluxError {
  if (error.code === 'EADDRINUSE') return new FluxError('port-in-use', `Port ${port} is already in use`, { cause: error });
  return new FluxError('unprocessable', `Failed to bind to address ${host}:${port}: ${error.message}`, { cause: error });
}
