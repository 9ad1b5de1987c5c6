/** `./fluxmq passwd`: hashes for any place, from standard input or typed without echo. */

import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { Interrupted, readHiddenLine } from '../../../src/cli/input/hidden-line.ts';
import { runCommandLine } from '../../../src/cli/run.ts';
import type { Terminal } from '../../../src/cli/terminal.ts';
import { readHash } from '../../../src/kernel/logins/hash-forms.ts';
import { matchesHash } from '../../../src/kernel/logins/match-hash.ts';

/** @param input what is piped; a list: what is typed */
async function passwd(args: readonly string[], input: string | string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const typed = Array.isArray(input) ? [...input] : [];
  const terminal = {
    isTyped: Array.isArray(input),
    out: (text: string) => {
      out += `${text}\n`;
    },
    err: (text: string) => {
      err += `${text}\n`;
    },
    askHidden: async () => typed.shift() ?? '',
    readInput: async (most: number) => {
      if ((input as string).length > most) throw new Error('too large');
      return input as string;
    },
  } as unknown as Terminal;
  const code = await runCommandLine(['passwd', ...args], terminal, async () => Promise.reject(new Error('unused')));
  return { code, out, err };
}

async function matches(stored: string, password: string): Promise<boolean> {
  const hash = readHash(stored);
  return typeof hash !== 'string' && matchesHash(hash, Buffer.from(password));
}

test('prints a hash, a line of a password file, or JSON', async () => {
  const plain = await passwd([], 'wörd: x \r\n');
  expect(plain).toMatchObject({ code: 0, err: '' });
  expect(plain.out).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$\S+\n$/);
  expect(await matches(plain.out.trim(), 'wörd: x ')).toBe(true);
  const line = await passwd(['--hash', 'mosquitto', 'ann'], ['typed', 'typed']);
  expect(line.out).toMatch(/^ann:\$7\$210000\$/);
  expect(await matches(line.out.trim().slice(4), 'typed')).toBe(true);
  const json = await passwd(['ann', '--json', '--hash=bcrypt'], 'x');
  expect(JSON.parse(json.out)).toEqual({ username: 'ann', encrypt: 'auto', password: expect.stringMatching(/^\$2b\$10\$/) });
});

test.each<[string[], string | string[], number, RegExp]>([
  [['ann', 'secret'], 'x', 2, /too many arguments/],
  [['--password', 'secret'], 'x', 2, /refused on the command line.*standard input/],
  [['--hash', 'md5'], 'x', 2, /unknown hash: md5/],
  [['a:b'], 'x', 2, /no colon/],
  [['#ann'], 'x', 2, /#/],
  [[], '', 2, /empty/],
  [[], '\n', 2, /empty/],
  [[], 'x'.repeat(70_000), 2, /more than 65535 bytes/],
  [[], 'a\ufffd', 2, /UTF-8/],
  [[], ['one', 'two'], 1, /differ/],
  [['--hash', 'bcrypt'], 'x'.repeat(73), 2, /72 bytes/],
])('refuses %j', async (args, input, code, problem) => {
  const ended = await passwd(args, input);
  expect(ended).toMatchObject({ code, out: '' });
  expect(ended.err).toMatch(problem);
  expect(ended.err).not.toContain('secret');
});

test('a typed line is not shown, and can be corrected', async () => {
  const modes: boolean[] = [];
  const open = () => Object.assign(new PassThrough(), { setRawMode: (isRaw: boolean) => modes.push(isRaw) });
  let shown = '';
  const read = async (...chunks: (string | Buffer)[]) => {
    const input = open();
    const line = readHiddenLine(input, (text) => (shown += text), 'Password: ');
    for (const chunk of chunks) input.write(chunk);
    return { line: await line, rest: String(input.read() ?? '') };
  };
  const umlaut = Buffer.from('ä');
  expect(await read('se', 'x\u007fcr', umlaut.subarray(0, 1), umlaut.subarray(1), 't\rnext')).toEqual({ line: 'secrät', rest: 'next' });
  expect(await read('wrong\u0015\u007fright\n')).toEqual({ line: 'right', rest: '' });
  await expect(read('sec\u0003')).rejects.toThrow(Interrupted);
  expect(shown).toBe('Password: \n'.repeat(3));
  expect(modes).toEqual([true, false, true, false, true, false]);
});
