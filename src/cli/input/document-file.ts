/** Reads a document (an endpoint, an export, a backup) from a file or standard input: JSON, or YAML with `${NAME}` filled in. */

import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { isObject } from '../../endpoint/problems.ts';
import { messageOf } from '../../kernel/errors.ts';
import { textOf } from '../../kernel/input/file-text.ts';
import { issueLines, usageFailure } from '../failure.ts';
import type { Terminal } from '../terminal.ts';

const BYTES_MAX = 512 * 1024 * 1024;

/**
 * @param file a path, or `-` for standard input
 * @param place where the document stands in a configuration: what is filled in for each client there is left alone
 * @param expected what the object is, for who brings something else
 * @throws CommandFailure (usage)
 */
export async function readDocumentFile(
  file: string,
  place: string[],
  expected: string,
  terminal: Terminal,
): Promise<Record<string, unknown>> {
  const value = await parse(await read(file, terminal), file, place, terminal);
  if (!isObject(value)) throw usageFailure(`${nameOf(file)}: expected ${expected}`);
  return value;
}

function nameOf(file: string): string {
  return file === '-' ? 'standard input' : file;
}

async function read(file: string, terminal: Terminal): Promise<string> {
  try {
    if (file === '-') return (await terminal.readInput(BYTES_MAX)).replace(/^\ufeff/, '');
    const path = resolve(terminal.cwd, file);
    if (statSync(path).size > BYTES_MAX) throw new Error(`is larger than ${BYTES_MAX} bytes`);
    const { text, problem } = textOf(readFileSync(path), true);
    if (problem !== null) throw new Error(problem);
    return text;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const words: Record<string, string> = { ENOENT: 'there is no such file', EISDIR: 'is a folder' };
    throw usageFailure(`${nameOf(file)}: ${words[code ?? ''] ?? message}`);
  }
}

/** JSON is taken as it is: programs have written it. */
async function parse(text: string, file: string, place: string[], terminal: Terminal): Promise<unknown> {
  if (text.trim() === '') throw usageFailure(`${nameOf(file)} is empty`);
  let why: string;
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    why = messageOf(error);
  }
  if (/^\s*[[{]/.test(text) && file.endsWith('.json')) throw usageFailure(`${nameOf(file)} is not JSON: ${why}`);
  const { readDocument } = await import('../../settings/document.ts');
  const document = readDocument(text, terminal.env, place);
  if (document.issues.length > 0) {
    const lines = document.issues.map((issue) => `${nameOf(file)}:${issue.line ?? 1}: ${issueLines([issue])[0]}`);
    throw usageFailure(`${nameOf(file)} cannot be read`, lines);
  }
  return document.value;
}
