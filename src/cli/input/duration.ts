/** Reads times such as `10s` or `500ms`. */

import { usageFailure } from '../failure.ts';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * Milliseconds of a time with its unit.
 * @param name of the option, for the message
 * @throws CommandFailure (usage)
 */
export function readDuration(name: string, text: string): number {
  const [, digits, unit] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  const factor = unit === undefined ? undefined : UNITS[unit];
  if (digits === undefined || factor === undefined)
    throw usageFailure(`--${name} ${text}: expected a time with its unit, such as 500ms, 10s or 2m`);
  return Number(digits) * factor;
}
