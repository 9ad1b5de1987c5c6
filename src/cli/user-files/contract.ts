/** The contract of the readers of user files: users in the form of `POST /api/users/import`, problems, and what has no counterpart. */

/** One rule of a user. */
export interface ImportedRule {
  permission: 'allow' | 'deny';
  action: 'publish' | 'subscribe' | 'all';
  topic: string;
}

/** One user, with a hash or with a password. */
export interface ImportedUser {
  username?: string;
  clientId?: string;
  hash?: string;
  password?: string;
  isSuperuser?: boolean;
  disabled?: boolean;
  groups?: string[];
  acl?: ImportedRule[];
  comment?: string;
}

export interface UserFile {
  users: ImportedUser[];
  /** why the file cannot be imported, each with its place; empty: it can be */
  problems: string[];
  /** parts of the file that fluxmq has no counterpart for */
  notes: string[];
}

/** The most problems of a file that are listed. */
export const PROBLEMS_MAX = 50;

/** The rules that end a list in which everything else is denied. `#` does not match `$SYS`. */
export function denyRest(action: ImportedRule['action']): ImportedRule[] {
  return ['#', '$SYS/#'].map((topic) => ({ permission: 'deny', action, topic }));
}

/** The text as lines, each with its number. */
export function* linesOf(text: string): Generator<[number: number, line: string]> {
  for (const [at, line] of text
    .replace(/^\ufeff/, '')
    .split('\n')
    .entries())
    yield [at + 1, line.replace(/\r$/, '')];
}
