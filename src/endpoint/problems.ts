/** Collects every problem of an input before one error is thrown. */

import type { z } from 'zod';
import { FluxError, type Issue } from '../kernel/errors.ts';

const NOT_SUPPORTED_YET = 'not supported yet';
const UNKNOWN_KEY = 'unknown key';

/** All problems of one input. Paths are dotted. */
export class Problems {
  readonly issues: Issue[] = [];

  add(path: string, message: string): void {
    this.issues.push({ path, message });
  }

  /** Notes a key or value of the specification that this version does not have. */
  addNotSupportedYet(path: string): void {
    this.add(path, NOT_SUPPORTED_YET);
  }

  addUnknownKey(path: string): void {
    this.add(path, UNKNOWN_KEY);
  }

  /** The result of `work`; undefined when `work` refuses its input, whose problems are noted then. @throws any other error of `work` */
  gather<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof FluxError) || error.issues.length === 0) throw error;
      this.issues.push(...error.issues);
      return undefined;
    }
  }

  /** @throws FluxError with every problem; returns when there is none */
  throwIfAny(what: string): void {
    if (this.issues.length > 0) throw this.toError(what);
  }

  /** `not-supported-yet` when all problems are of that kind, else `invalid`. */
  toError(what: string): FluxError {
    const [first, ...others] = this.issues;
    const kind = this.issues.every((issue) => issue.message === NOT_SUPPORTED_YET) ? 'not-supported-yet' : 'invalid';
    const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
    const where = first === undefined || first.path === '' ? '' : `${first.path}: `;
    return new FluxError(kind, `Invalid ${what}: ${where}${first?.message ?? ''}${more}`, { issues: this.issues });
  }
}

/** `a` + `b` → `a.b`; an empty left side adds nothing. */
export function join(path: string, key: string | number): string {
  return path === '' ? String(key) : `${path}.${key}`;
}

/** Checks a value and notes its problems under `path`. Returns undefined when there is a problem. */
export function check<T>(schema: z.ZodType<T>, value: unknown, path: string, problems: Problems): T | undefined {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    const at = issue.path.reduce<string>((left, key) => join(left, String(key)), path);
    if (issue.code === 'unrecognized_keys') for (const key of issue.keys) problems.addUnknownKey(join(at, key));
    else problems.add(at, issue.message);
  }
  return undefined;
}

/** A JSON object: neither null nor a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Entries without null and undefined, which mean "the default", and the names of those left out. */
export function splitNulls(input: Record<string, unknown>): { given: Record<string, unknown>; nulls: string[] } {
  const entries = Object.entries(input);
  const isNothing = (value: unknown) => value === null || value === undefined;
  return {
    // fromEntries defines own properties, so that a key `__proto__` stays a key and is refused as unknown
    given: Object.fromEntries(entries.filter(([, value]) => !isNothing(value))),
    nulls: entries.filter(([, value]) => isNothing(value)).map(([key]) => key),
  };
}
