/** Looks a user up in a password file. */

import { createHash } from 'node:crypto';
import type { FileAuthConfig } from '../../../../src/endpoint/endpoint.ts';
import type { AskWho, LoginVerdict } from '../../../../src/thread/access/ask.ts';
import type { Asker, Notify } from '../contract.ts';
import { PasswordFile } from './password-file.ts';
import { matchesStored } from './password-line.ts';

/** @throws Error when the file cannot be used */
export async function openFileAsker({ path }: FileAuthConfig, notify: Notify): Promise<Asker> {
  return new FileAsker(await PasswordFile.open(path, notify));
}

class FileAsker implements Asker {
  readonly #file: PasswordFile;

  constructor(file: PasswordFile) {
    this.#file = file;
  }

  /** Takes the time of a hash for an unknown user too: otherwise the time of an answer would reveal which names exist. */
  async ask({ username, password }: AskWho): Promise<LoginVerdict> {
    if (username === null || password === null) return { result: 'ignore' };
    const stored = this.#file.storedOf(username);
    const matches = await matchesStored(stored ?? this.#decoyOf(username), password);
    if (stored === undefined) return { result: 'ignore' };
    return { result: matches ? 'allow' : 'deny' };
  }

  /** A name always gets the same user: an average over several would reveal it as unknown. */
  #decoyOf(username: string): string {
    return this.#file.storedOf(this.#file.userAt(createHash('sha256').update(username).digest().readUInt32BE(0)))!;
  }

  async close(): Promise<void> {
    this.#file.close();
  }
}
