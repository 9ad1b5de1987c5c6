/** The requests to the admin API that the documents show: `curl …`, and `nats req …`. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
export const DOCUMENTS = ['README.md', 'docs/tour.md', 'docs/tls.md', 'docs/admin-api.md', 'docs/automation.md'];

export interface DocumentRequest {
  document: string;
  path: string;
  /** the query of a URL, or of the header `X-Query` over NATS */
  query: Record<string, string>;
  /** without `Content-Type`, which goes without saying, and without `X-Actor` and `X-Query`, which NATS alone has */
  headers: Record<string, string>;
  /** Null without one. Over NATS the parameters of a read stand in its body. */
  body: Record<string, unknown> | null;
}

/** A command ends with its line, except within quotes. */
const COMMAND = /^(?:curl|nats req) (?:'[^']*'|[^'\n])+/gm;
const WORD = /(?:'[^']*'|[^\s'])+/g;
const LEFT_OUT = new Set(['content-type', 'x-actor', 'x-query']);

function wordsOf(command: string): string[] {
  const words = (command.match(WORD) ?? []).map((word) => word.replaceAll("'", ''));
  const end = words.findIndex((word) => ['|', '>', '#'].includes(word));
  return end < 0 ? words : words.slice(0, end);
}

/** The arguments of every `flag`. */
function valuesOf(words: string[], flag: string): string[] {
  return words.filter((_, index) => words[index - 1] === flag);
}

function requestOf(command: string, document: string): DocumentRequest | null {
  const words = wordsOf(command);
  const headers = Object.fromEntries(
    valuesOf(words, '-H').map((header): [string, string] => [header.split(':')[0]!, header.slice(header.indexOf(':') + 1).trim()]),
  );
  const isCurl = words[0] === 'curl';
  const where = isCurl ? words.find((word) => word.startsWith('localhost:18083'))! : `/api/endpoints/${words[2]!.split('.')[2]}`;
  const url = new URL(isCurl ? `http://${where}` : where, 'http://localhost');
  const text = isCurl ? valuesOf(words, '-d')[0] : words[3];
  if (text?.startsWith('@')) return null;
  return {
    document,
    path: url.pathname,
    query: Object.fromEntries(new URLSearchParams(headers['X-Query'] ?? url.search)),
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !LEFT_OUT.has(name.toLowerCase()))),
    body: text ? (JSON.parse(text) as Record<string, unknown>) : null,
  };
}

/** The requests of one document, in order. A request whose body is a file is left out; `folder` stands for $PWD. */
export function requestsOf(document: string, folder = '/folder'): DocumentRequest[] {
  const variables: Record<string, string> = { PWD: folder, PASSWORD: 'secret' };
  const text = readFileSync(join(ROOT, document), 'utf8')
    .replaceAll(/\\\n\s*/g, '')
    .replaceAll(/'\$([A-Z]+)'/g, (_, name: string) => variables[name]!);
  return (text.match(COMMAND) ?? []).map((command) => requestOf(command, document)).filter((request) => request !== null);
}
