/** Names of errors of the system. */

import { constants } from 'node:os';
import { expect, test } from 'vitest';
import { systemErrorName } from '../../../src/kernel/system/system-error.ts';

const { EDQUOT, ESTALE } = constants.errno;
const thrown = (code: string, errno: number) => Object.assign(new Error('x'), { code, errno });

test('those that Node names, and those that it does not, in both of its forms', () => {
  expect(systemErrorName(thrown('ENOSPC', -28))).toBe('ENOSPC');
  expect(systemErrorName(thrown('UNKNOWN', -EDQUOT))).toBe('EDQUOT');
  expect(systemErrorName(thrown(`Unknown system error -${ESTALE}`, -ESTALE))).toBe('ESTALE');
  expect(systemErrorName(thrown('UNKNOWN', -99_999))).toBe('UNKNOWN');
});

test('other errors have none', () => {
  expect(systemErrorName(new Error('x'))).toBe('');
  expect(systemErrorName(thrown('SQLITE_FULL', 0))).toBe('SQLITE_FULL');
});
