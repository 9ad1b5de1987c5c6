/** The keys that seal secrets in the store: from a file, the configuration or the environment. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { check, type Problems } from '../endpoint/problems.ts';
import { messageOf } from '../kernel/errors.ts';
import type { SecretKeys } from './settings.ts';

const KEY_MIN = 12;
const KEY_MAX = 1024;
const FILE_BYTES_MAX = 64 * 1024;

const key = z
  .string({ error: 'must be a string' })
  .min(KEY_MIN, { error: `must be 32 bytes as hex or base64, or a passphrase of at least ${KEY_MIN} characters` })
  .max(KEY_MAX, { error: `must be at most ${KEY_MAX} characters` });
const keys = z.array(key, { error: 'must be a list' }).max(100, { error: 'must be at most 100 entries' });
const path = z.string({ error: 'must be a string' }).min(1, { error: 'must not be empty' }).max(4096, { error: 'is too long' });

/** `store.secretKey`, `store.secretKeyFile`, `store.secretKeysOld`. The first line of the file is the key, further ones are old keys. */
export function readSecretKeys(
  given: { secretKey?: unknown; secretKeyFile?: unknown; secretKeysOld?: unknown },
  cwd: string,
  problems: Problems,
): SecretKeys {
  const { secretKey, secretKeyFile, secretKeysOld } = given;
  const read: SecretKeys = { secretKey: null, secretKeysOld: [] };
  if (secretKey !== undefined) read.secretKey = check(key, secretKey, 'store.secretKey', problems) ?? null;
  if (secretKeysOld !== undefined) read.secretKeysOld = check(keys, secretKeysOld, 'store.secretKeysOld', problems) ?? [];
  if (secretKeyFile === undefined) return read;
  if (secretKey !== undefined) problems.add('store.secretKeyFile', 'is given beside secretKey: one of them');
  const file = check(path, secretKeyFile, 'store.secretKeyFile', problems);
  if (file === undefined) return read;
  if (file.startsWith('~'))
    problems.add('store.secretKeyFile', `begins with ~, which is not replaced here: write \${HOME}${file.slice(1)}`);
  const [first, ...others] = readLines(resolve(cwd, file), problems);
  return { secretKey: first ?? read.secretKey, secretKeysOld: [...others, ...read.secretKeysOld] };
}

function readLines(file: string, problems: Problems): string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').slice(0, FILE_BYTES_MAX);
  } catch (error) {
    problems.add('store.secretKeyFile', `cannot be read: ${messageOf(error)}`);
    return [];
  }
  const lines = text.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));
  if (lines.length === 0) problems.add('store.secretKeyFile', `${file} is empty`);
  for (const [index, line] of lines.entries()) {
    const result = key.safeParse(line);
    if (!result.success)
      problems.add('store.secretKeyFile', `line ${index + 1} of ${file} ${result.error.issues[0]?.message ?? 'is no key'}`);
  }
  return lines;
}
