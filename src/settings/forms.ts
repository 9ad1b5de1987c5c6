/** The value types that the sections of the settings share, with their messages. */

import { z } from 'zod';
import { isObject } from '../endpoint/problems.ts';

/** A text of 1 to `max` characters. */
export const nonEmptyText = (max = 1024) =>
  z
    .string({ error: 'must be a string' })
    .min(1, { error: 'must not be empty' })
    .max(max, { error: `must be at most ${max} characters` });
export const flag = z.boolean({ error: 'must be true or false' });
export const wholeNumber = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};
export const oneOf = <const T extends readonly string[]>(values: T) => z.enum(values, { error: `must be one of ${values.join(', ')}` });
/** An object with exactly these keys. */
export const group = <T extends z.ZodRawShape>(shape: T) =>
  z.strictObject(shape, { error: (issue) => (issue.code === 'invalid_type' ? 'must be a group of keys' : undefined) });

/** An object without its null keys, which mean "the default". */
export function withoutNulls(value: unknown): unknown {
  return isObject(value) ? Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null)) : value;
}
