/** The value types that every configuration shares, with their messages. */

import { z } from 'zod';

/** One of some words. */
export const oneOf = <const T extends readonly string[]>(values: T) => z.enum(values, { error: `must be one of ${values.join(', ')}` });

/** A text of `min` (0 or 1) to `max` characters. */
export const textField = (min = 1, max = 65535) =>
  z
    .string({ error: 'must be a string' })
    .min(min, { error: 'must not be empty' })
    .max(max, { error: `must be at most ${max} characters` });
