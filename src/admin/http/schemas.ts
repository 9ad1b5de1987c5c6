/** Schemas of parameters that many routes share. */

import { z } from '@hono/zod-openapi';

/** The issue of a schema for a text that checkTopicName() refuses. */
export const TOPIC_NAME_EXPECTED = 'expected a topic name: 1 to 65535 bytes of UTF-8 without + # and U+0000';

/** A whole number in a query, with its range checked and documented. */
export function queryInteger(minimum: number, maximum: number, what: string, example: number) {
  return z
    .string()
    .regex(/^\d{1,15}$/, `expected a whole number, ${minimum}..${maximum}`)
    .transform(Number)
    .pipe(z.number().min(minimum, `expected ${minimum}..${maximum}`).max(maximum, `expected ${minimum}..${maximum}`))
    .openapi({ type: 'integer', minimum, maximum, description: what, example });
}

const MOMENT = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2}))?$/;
const MOMENT_EXPECTED = 'expected ISO 8601 with a time zone, such as 2026-01-31T12:00:00Z, a date, or milliseconds since 1970';

/** Without this check, Date.parse would read the 30th of February as a day in March. */
function isDay(date: string): boolean {
  const at = new Date(date);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(date);
}

/** A moment in a query, as milliseconds since the epoch. */
export function queryMoment(what: string) {
  return z
    .string()
    .transform((text, context) => {
      // An unescaped + of a time zone arrives as a space.
      const iso = text.replace(' ', '+');
      const at = /^\d{1,15}$/.test(text) ? Number(text) : MOMENT.test(iso) && isDay(iso.slice(0, 10)) ? Date.parse(iso) : Number.NaN;
      if (!Number.isNaN(at)) return at;
      context.addIssue({ code: 'custom', message: MOMENT_EXPECTED });
      return z.NEVER;
    })
    .openapi({ type: 'string', description: `${what}; ISO 8601, or milliseconds since 1970`, example: '2026-01-31T12:00:00Z' });
}

export const portQuery = queryInteger(1, 65535, 'Port of the endpoint', 1883);
export const idQuery = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,64}$/, 'expected 1 to 64 of A-Z a-z 0-9 _ . -')
  .openapi({ description: 'Stable name of the endpoint', example: 'mqtt-1883' });
