/** Every problem of a configuration at once, and how they are printed. */

import { FluxError, type Issue } from '../kernel/errors.ts';

/** A configuration that cannot be used. `issues` is never empty; `file` is null when only the environment was read. */
export class SettingsError extends FluxError {
  readonly file: string | null;

  constructor(file: string | null, issues: Issue[]) {
    super('invalid', `${file ?? 'the environment'}: ${issues.length} ${issues.length === 1 ? 'problem' : 'problems'}`, { issues });
    this.name = 'SettingsError';
    this.file = file;
  }
}

/** One line a problem, `FILE:LINE: PATH: MESSAGE`, in the order of the file; problems without a line come last. Ends without a newline. */
export function formatIssues(error: SettingsError): string {
  const inOrder = [...error.issues].sort((a, b) => (a.line ?? Number.MAX_SAFE_INTEGER) - (b.line ?? Number.MAX_SAFE_INTEGER));
  return inOrder
    .map((issue) => {
      const place = [error.file, issue.line].filter((part) => part !== null && part !== undefined).join(':');
      return [place, issue.path, issue.message].filter((part) => part !== '').join(': ');
    })
    .join('\n');
}
