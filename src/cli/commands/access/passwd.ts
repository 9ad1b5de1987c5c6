/** `passwd`: prints the hash of a password, for any place that takes one. */

import { FluxError } from '../../../kernel/errors.ts';
import { MADE_HASHES, type MadeHash, makeHash } from '../../../kernel/logins/make-hash.ts';
import type { Command, CommandCall } from '../../command.ts';
import { usageFailure } from '../../failure.ts';
import { readNewPassword } from '../../input/new-password.ts';
import type { OptionSpec } from '../../option.ts';
import { hint } from '../../suggest.ts';
import { printedAsJson } from '../common.ts';

/** The kind of hash that a command makes. */
const HASH_OPTION: OptionSpec = {
  name: 'hash',
  value: 'KIND',
  text: `${MADE_HASHES.join(', ')} (PBKDF2 as mosquitto reads it); default argon2id`,
  completes: MADE_HASHES,
};

export const PASSWD_COMMANDS: readonly Command[] = [
  {
    name: 'passwd',
    usage: '[USERNAME]',
    summary: 'prints the hash of a password',
    details: [
      'The password is typed without echo, or read from standard input without the newline at its end; it is never an argument.',
      'The hash fits users of `fixed` (encrypt: auto), password files, columns of databases and fields of Redis. With a USERNAME the line of a password file is printed. mosquitto reads files with --hash mosquitto.',
    ],
    examples: ['passwd', 'passwd --hash mosquitto device-1 >> passwords', 'passwd < password.txt'],
    options: [HASH_OPTION],
    words: ['userName'],
    connects: false,
    run: printHash,
  },
];

async function printHash(call: CommandCall): Promise<void> {
  const { words, options, terminal } = call;
  const [username, ...surplus] = words;
  // A word too many is probably the password: it is not repeated.
  if (surplus.length > 0) throw usageFailure('too many arguments: the password is typed, or read from standard input');
  if (username !== undefined && /^#|[:\p{Cc}]|^$/u.test(username))
    throw usageFailure('a name in a password file has no colon and no control character, and does not begin with #');
  const kind = readKind(options.text('hash'));
  const password = await readNewPassword(terminal);
  let hash: string;
  try {
    hash = await makeHash(kind, password);
  } catch (error) {
    if (error instanceof FluxError) throw usageFailure(error.message);
    throw error;
  }
  if (printedAsJson(call, { ...(username === undefined ? {} : { username }), encrypt: 'auto', password: hash })) return;
  terminal.out(username === undefined ? hash : `${username}:${hash}`);
}

/** @throws CommandFailure (usage) */
function readKind(word = 'argon2id'): MadeHash {
  const kind = MADE_HASHES.find((name) => name === word);
  if (kind === undefined) throw usageFailure(`unknown hash: ${word}${hint(word, MADE_HASHES)}; one of ${MADE_HASHES.join(', ')}`);
  return kind;
}
