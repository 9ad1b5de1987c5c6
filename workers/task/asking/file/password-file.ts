/** The users of a password file, which is read again when it changes. A bad file is refused, and the old users stay. */

import type { Stats } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { messageOf } from '../../../../src/kernel/errors.ts';
import { Pace } from '../../../../src/kernel/turns/pace.ts';
import type { Notify } from '../contract.ts';
import { readPasswordLine } from './password-line.ts';

const LOOK_EVERY_MS = 2_000;
const FILE_BYTES_MAX = 128 * 1024 * 1024;
const LINES_AT_ONCE = 100;

/** A mark by which a changed content of the file is noticed. */
type Mark = string;

export class PasswordFile {
  readonly #path: string;
  readonly #notify: Notify;
  readonly #timer: NodeJS.Timeout;
  #users: ReadonlyMap<string, string>;
  #names: readonly string[];
  /** of the content that was read last, whatever became of it */
  #read: Mark;
  /** at the last look: a file that is still being written changes between two looks */
  #seen: Mark;
  #isLooking = false;

  private constructor(path: string, notify: Notify, users: ReadonlyMap<string, string>, mark: Mark) {
    this.#path = path;
    this.#notify = notify;
    this.#users = users;
    this.#names = [...users.keys()];
    this.#read = mark;
    this.#seen = mark;
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  /** @throws Error when the file cannot be read, or a line of it */
  static async open(path: string, notify: Notify): Promise<PasswordFile> {
    const { users, mark } = await readUsers(path);
    return new PasswordFile(path, notify, users, mark);
  }

  /** The stored password of a user; undefined: there is no such user. */
  storedOf(username: string): string | undefined {
    return this.#users.get(username);
  }

  /** The user at a place of the file, modulo their number. */
  userAt(place: number): string {
    return this.#names[place % this.#names.length]!;
  }

  /** Reads the file when it differs from what was read last, and has not changed since the last look. */
  async look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const mark = await stat(this.#path).then(markOf, () => 'gone');
      const isSettled = mark === this.#seen;
      this.#seen = mark;
      if (mark === this.#read || !isSettled) return;
      this.#read = mark;
      const { users } = await readUsers(this.#path);
      this.#users = users;
      this.#names = [...users.keys()];
      this.#notify('info', 'Auth: the password file was read again', { path: this.#path, users: users.size });
    } catch (error) {
      const fields = { path: this.#path, reason: messageOf(error) };
      this.#notify('warn', 'Auth: the changed password file is refused, and its old users stay', fields);
    } finally {
      this.#isLooking = false;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

function markOf({ ino, size, mtimeMs, ctimeMs }: Stats): Mark {
  return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}

/** @throws Error that names the line, and nothing that stands in it */
async function readUsers(path: string): Promise<{ users: Map<string, string>; mark: Mark }> {
  const file = await open(path, 'r');
  let text: string;
  let mark: Mark;
  try {
    const facts = await file.stat();
    if (!facts.isFile()) throw new Error(`${path} is no file`);
    if (facts.size > FILE_BYTES_MAX) throw new Error(`the file has more than ${FILE_BYTES_MAX} bytes`);
    mark = markOf(facts);
    text = await file.readFile('utf8');
  } finally {
    await file.close();
  }
  const users = new Map<string, string>();
  const pace = new Pace();
  let number = 0;
  for (const line of text.split('\n')) {
    number++;
    // A large file must not delay the questions to other authenticators.
    if (number % LINES_AT_ONCE === 0 && pace.isOver) await pace.next();
    try {
      const user = readPasswordLine(line);
      if (user === null) continue;
      if (users.has(user.username)) throw new Error('names a user for the second time');
      users.set(user.username, user.stored);
    } catch (error) {
      throw new Error(`line ${number} ${messageOf(error)}`, { cause: error });
    }
  }
  if (users.size === 0) throw new Error('the file names no user');
  return { users, mark };
}
