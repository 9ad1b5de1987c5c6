/** The value types that the sections of the settings share, with their messages. */

import { z } from 'zod';
import { isObject } from '../endpoint/problems.ts';
import { textField } from '../endpoint/value-types.ts';

const UNITS: Record<string, number> = { '': 1, b: 1, k: 1024, kb: 1024, m: 1024 ** 2, mb: 1024 ** 2, g: 1024 ** 3, gb: 1024 ** 3 };
const BYTES_MIN = 1024;
const BYTES_MAX = 1024 ** 4;

/** A text of 1 to `max` characters. */
export const nonEmptyText = (max = 1024) => textField(1, max);
export const flag = z.boolean({ error: 'must be true or false' });
export const wholeNumber = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};
/** An object with exactly these keys. */
export const group = <T extends z.ZodRawShape>(shape: T) =>
  z.strictObject(shape, { error: (issue) => (issue.code === 'invalid_type' ? 'must be a group of keys' : undefined) });

/** An object without its null keys, which mean "the default". */
export function withoutNulls(value: unknown): unknown {
  return isObject(value) ? Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null)) : value;
}

/** A number of bytes with an optional unit, 1 KB to 1024 GB. */
export const bytes = z.union([z.number(), z.string()], { error: 'must be a size such as 100MB' }).transform((value, context) => {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(String(value)) ?? [];
  const factor = Object.hasOwn(UNITS, unit.toLowerCase()) ? UNITS[unit.toLowerCase()] : undefined;
  const size = digits === undefined || factor === undefined ? Number.NaN : Math.round(Number(digits) * factor);
  if (size >= BYTES_MIN && size <= BYTES_MAX) return size;
  context.addIssue({ code: 'custom', message: 'must be a size from 1KB to 1024GB, such as 100MB' });
  return z.NEVER;
});
