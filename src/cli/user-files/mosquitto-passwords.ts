/** Reads mosquitto's `password_file`: a line `name:hash` for each user. */

import { readHash } from '../../kernel/logins/hash-forms.ts';
import { linesOf, type UserFile } from './contract.ts';

export function readMosquittoPasswords(text: string): UserFile {
  const file: UserFile = { users: [], problems: [], notes: [] };
  const lineOf = new Map<string, number>();
  for (const [number, line] of linesOf(text)) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const username = line.slice(0, Math.max(0, colon));
    const hash = line.slice(colon + 1);
    const problem = problemOf(username, hash, lineOf);
    if (problem !== null) file.problems.push(`line ${number}: ${problem}`);
    else {
      lineOf.set(username, number);
      file.users.push({ username, hash });
    }
  }
  return file;
}

/** The line may hold a password in clear text: no part of it is repeated behind the name. */
function problemOf(username: string, hash: string, lineOf: ReadonlyMap<string, number>): string | null {
  if (username === '') return 'expected a user name, a colon and a hash';
  const former = lineOf.get(username);
  if (former !== undefined) return `${username} stands in line ${former} already`;
  const read = readHash(hash);
  if (typeof read !== 'string') return null;
  return hash.startsWith('$')
    ? `the hash of ${username} ${read}`
    : `${username} has a password in clear text; mosquitto_passwd -U makes hashes`;
}
