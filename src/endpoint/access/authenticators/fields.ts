/** Shared by the readers of all authenticators: simple fields, masks, and the limits of asking. */

import { z } from 'zod';
import { check, isObject, join, type Problems } from '../../problems.ts';
import { MASK } from '../../secrets/mask.ts';
import { oneOf } from '../../value-types.ts';
import type { AskTerms } from '../config.ts';

export const whole = (min: number, max: number) => {
  const error = `must be a whole number, ${min}..${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};

/** The wait for CONNACK ends after 10 s. */
const TIMEOUT_MS_MAX = 9_000;

/** Limits of asking, in their normal form. */
export const TERMS_SHAPE = {
  timeout: whole(50, TIMEOUT_MS_MAX),
  maxRequests: whole(1, 1024),
  onUnavailable: oneOf(['deny', 'ignore']),
  cacheSeconds: whole(0, 86_400),
};

/** Limits of asking, with their defaults. */
export const TERMS_READ = {
  timeout: TERMS_SHAPE.timeout.default(5_000),
  maxRequests: TERMS_SHAPE.maxRequests.default(64),
  onUnavailable: TERMS_SHAPE.onUnavailable.default('deny'),
  cacheSeconds: TERMS_SHAPE.cacheSeconds.default(0),
};

/** One entry that is being read. */
export interface EntryInput<T> {
  /** the keys of the configuration, without type and filter, and without nulls */
  readonly fields: Record<string, unknown>;
  readonly filter: AskTerms['filter'];
  readonly path: string;
  readonly problems: Problems;
  /** the former entry of the same kind in the same place: masks keep its secrets */
  readonly old: T | null;
}

/** Checks an entry against its schema and gives each mask the old secret. Undefined: there are problems. */
export function readFields<T>(schema: z.ZodType<T>, { fields, path, problems, old }: EntryInput<unknown>): T | undefined {
  return check(schema, unmasked(fields, old, path, problems), path, problems);
}

function unmasked(value: unknown, old: unknown, path: string, problems: Problems): unknown {
  if (value === MASK) {
    if (typeof old === 'string' && old !== '') return old;
    problems.add(path, 'is only a mask: there is no old value to keep');
    return value;
  }
  if (!isObject(value)) return value;
  const before = isObject(old) ? old : {};
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, unmasked(part, before[key], join(path, key), problems)]));
}
