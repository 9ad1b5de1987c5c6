/** Checks of untrusted input with zod; reports every problem at once in the API's own form. */

import type { z } from '@hono/zod-openapi';
import { FluxError, type Issue } from '../../kernel/errors.ts';

/** zod's problems as issues; the path of an unknown key is the key's own. */
function issuesOf(error: z.ZodError): Issue[] {
  return error.issues.flatMap((issue): Issue[] => {
    const path = issue.path.map(String);
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ path: [...path, key].join('.'), message: 'unknown key' }));
    const isMissing = issue.code === 'invalid_type' && issue.input === undefined && path.length > 0;
    return [{ path: path.join('.'), message: isMissing ? 'is required' : issue.message }];
  });
}

/**
 * The checked value.
 * @throws FluxError `invalid` with every problem
 */
export function parseOrRefuse<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const issues = issuesOf(result.error);
  throw new FluxError('invalid', `${what} is not valid: ${summaryOf(issues)}`, { issues });
}

/** One readable line: the first problem, and the number of others. */
function summaryOf(issues: Issue[]): string {
  const first = issues[0];
  if (first === undefined) return 'unknown problem';
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
  return `${first.path === '' ? '' : `${first.path}: `}${first.message}${more}`;
}
