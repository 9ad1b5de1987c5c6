/** A failed bind in the words that users grep for (docs/metrics-and-logs.md). */

import { FluxError, messageOf } from '../errors.ts';

const REASONS: Record<string, string> = {
  EADDRNOTAVAIL: 'the address does not belong to this machine',
  EACCES: 'no permission for this port',
  EINVAL: 'not a usable address',
  EAFNOSUPPORT: 'this machine does not speak that address family',
};

/**
 * @param cause what the system reported
 * @returns `port-in-use` when the port is taken, else `unprocessable`; the issue names `port` or `host`
 */
export function bindFailure(host: string, port: number, cause: unknown): FluxError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (code === 'EADDRINUSE') return portInUse(port, null, cause);
  const reason = REASONS[code] ?? messageOf(cause);
  const message = `Failed to bind to address ${host}:${port}: ${reason}${code === '' ? '' : ` (${code})`}`;
  return new FluxError('unprocessable', message, { cause, issues: [{ path: code === 'EACCES' ? 'port' : 'host', message: reason }] });
}

/** @param owner `name (pid n)` of the process that has the port; null when it is not known */
export function portInUse(port: number, owner: string | null, cause?: unknown): FluxError {
  const message = `Port ${port} is already in use${owner === null ? '' : ` by ${owner}`}`;
  return new FluxError('port-in-use', message, { cause, issues: [{ path: 'port', message }] });
}
