/** Names of errors of the system, also of those that libuv has none for: EDQUOT, ESTALE, EUCLEAN and others come as `UNKNOWN`, or as `Unknown system error -122`. */

import { constants } from 'node:os';

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** The name of what a call of `node:fs` or `node:net` has thrown, as in errno(3); '' when it is no error of the system. */
export function systemErrorName(error: unknown): string {
  const { code, errno } = error as Partial<NodeJS.ErrnoException>;
  if (typeof errno === 'number' && code !== undefined && /^unknown/i.test(code)) return NAMES.get(-errno) ?? code;
  return code ?? '';
}
