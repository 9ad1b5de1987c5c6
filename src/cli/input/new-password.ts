/** Reads a new password: typed twice without echo at a terminal, else all of standard input. Never an argument, which others could read. */

import { CommandFailure, EXIT, usageFailure } from '../failure.ts';
import type { Terminal } from '../terminal.ts';

/** That of a password in MQTT. */
const BYTES_MAX = 65_535;
const NEWLINE_BYTES = 2;

/**
 * The password, without the newline at its end.
 * @throws CommandFailure (usage) for an empty password, one that is too long or no UTF-8; (refused) when the two typed ones differ
 */
export async function readNewPassword(terminal: Terminal): Promise<string> {
  const password = terminal.isTyped ? await typedTwice(terminal) : await piped(terminal);
  if (password === '') throw usageFailure('the password is empty');
  if (Buffer.byteLength(password) > BYTES_MAX) throw usageFailure(`the password has more than ${BYTES_MAX} bytes`);
  if (password.includes('\ufffd')) throw usageFailure('the password is no UTF-8 text');
  return password;
}

async function typedTwice(terminal: Terminal): Promise<string> {
  const first = await terminal.askHidden('Password: ');
  if (first !== '' && (await terminal.askHidden('Again: ')) !== first) throw new CommandFailure(EXIT.refused, 'the two passwords differ');
  return first;
}

async function piped(terminal: Terminal): Promise<string> {
  let text: string;
  try {
    text = await terminal.readInput(BYTES_MAX + NEWLINE_BYTES);
  } catch {
    throw usageFailure(`the password has more than ${BYTES_MAX} bytes`);
  }
  return text.replace(/\r?\n$/, '');
}
