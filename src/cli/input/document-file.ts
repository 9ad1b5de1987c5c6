/** Reads a document (an endpoint, an export, a backup) from a file or standard input: JSON, or YAML with `${NAME}` replaced. */

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
 * @param place the document's place in a configuration; placeholders that the broker fills in per client there stay as they are
 * @param expected a description of the expected object, for the error message
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

/** Parses JSON without replacing `${NAME}`, because a program wrote it; YAML gets the replacement. */
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
