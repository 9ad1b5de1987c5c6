/** Names of system errors. libuv lacks some, such as EDQUOT and ESTALE: Node reports `UNKNOWN` or `Unknown system error -122`. */

import { constants } from 'node:os';

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** The errno(3) name of an error of `node:fs` or `node:net`; '' for any other error. */
export function systemErrorName(error: unknown): string {
  const { code, errno } = error as Partial<NodeJS.ErrnoException>;
  if (typeof errno === 'number' && code !== undefined && /^unknown/i.test(code)) return NAMES.get(-errno) ?? code;
  return code ?? '';
}
