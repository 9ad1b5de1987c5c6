/** The failure of a command: an exit code, and words for standard error. */

import type { Issue } from '../kernel/errors.ts';

/** Exit codes of the command line. Scripts depend on them. */
export const EXIT = {
  ok: 0,
  /** the broker refused: 400, 404, 409, 412, 422 … */
  refused: 1,
  /** wrong arguments; no request was sent */
  usage: 2,
  /** no broker there, no answer in time, or 503 */
  unreachable: 3,
  /** 401, 403, 429 */
  notAllowed: 4,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends a command. Standard error gets the message, then each of `lines` as a line. */
export class CommandFailure extends Error {
  readonly exitCode: ExitCode;
  readonly lines: readonly string[];

  constructor(exitCode: ExitCode, message: string, lines: readonly string[] = []) {
    super(message);
    this.name = 'CommandFailure';
    this.exitCode = exitCode;
    this.lines = lines;
  }
}

/** A failure by wrong arguments. */
export function usageFailure(message: string, lines: readonly string[] = []): CommandFailure {
  return new CommandFailure(EXIT.usage, message, lines);
}

/** Problems as lines that begin with their path. */
export function issueLines(issues: readonly Issue[]): string[] {
  return issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
}
