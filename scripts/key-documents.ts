/**
 * Writes what documents say about the keys of an endpoint, from their table (src/endpoint/keys): the table in docs/endpoints.md and the
 * endpoint in config.example.yaml. `npm run keys` does it, and a test fails when a document is not up to date.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultEndpoint } from '../src/endpoint/defaults.ts';
import { isGroup, type Key, type KeyGroup } from '../src/endpoint/keys/key.ts';
import { type ENDPOINT_KEYS, WRITTEN_FORM } from '../src/endpoint/keys/table.ts';
import { rangeOf } from '../src/endpoint/keys/value.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const EXAMPLE_PORT = 1883;
/** Column of the comments in config.example.yaml. */
const COMMENT_AT = 34;
/** The documents that follow from the table, each with the part that is written. */
const DOCUMENTS: Readonly<Record<string, { part: RegExp; lines: () => string[] }>> = {
  'docs/endpoints.md': { part: /(?<=\n)\| key \|[\s\S]*?(?=\n\n)/, lines: markdownRows },
  'config.example.yaml': { part: /(?<=\nendpoints:\n)[\s\S]*?(?=\n\n)/, lines: yamlLines },
};

/** The whole text of each document as it should be. */
export function keyDocuments(): { path: string; text: string; wanted: string }[] {
  return Object.entries(DOCUMENTS).map(([name, { part, lines }]) => {
    const path = join(ROOT, name);
    const text = readFileSync(path, 'utf8');
    if (!part.test(text)) throw new Error(`${name} has no part for the keys`);
    return { path, text, wanted: text.replace(part, () => lines().join('\n')) };
  });
}

function markdownRows(): string[] {
  const rows = Object.entries(WRITTEN_FORM).flatMap(([name, entry]) => {
    if (!isGroup(entry)) return [markdownRow(name, entry)];
    const { page, description, effect, effectText } = entry;
    if (page !== undefined) return [`| \`${name}\` | ${description} | [options](${page}) | | ${effectText ?? effect} |`];
    return Object.entries(entry.keys).map(([option, key]) => markdownRow(`${name}.${option}`, key));
  });
  return ['| key | meaning | values | default | takes effect |', '|---|---|---|---|---|', ...rows];
}

function markdownRow(path: string, { value, description, default: byDefault, defaultText, effect, effectText }: Key<unknown>): string {
  const shown = defaultText ?? `\`${byDefault}\``;
  return `| \`${path}\` | ${description} | ${rangeOf(value)} |${shown === '' ? '' : ` ${shown}`} | ${effectText ?? effect} |`;
}

function yamlLines(): string[] {
  return Object.entries(WRITTEN_FORM).map(([name, entry], index) => `${index === 0 ? '  - ' : '    '}${yamlLine(name, entry)}`);
}

function yamlLine(name: string, entry: Key<unknown> | KeyGroup): string {
  const comment = entry.description.replaceAll('`', '');
  if (isGroup(entry)) {
    const { example = defaultEndpoint(EXAMPLE_PORT)[name as keyof typeof ENDPOINT_KEYS] } = entry;
    return commented(`${name}: ${flow(example)}`, comment);
  }
  const ordinary = defaultEndpoint(EXAMPLE_PORT)[name as keyof typeof ENDPOINT_KEYS];
  const { example = ordinary, defaultText = String(ordinary) } = entry;
  const note = example === ordinary ? comment : `${comment}; default: ${defaultText.replaceAll('`', '')}`;
  return commented(`${name}: ${flow(example)}`, note);
}

function commented(line: string, comment: string): string {
  return `${line.padEnd(COMMENT_AT - 5)} # ${comment}`;
}

/** Plain YAML in one line; no example needs quotes. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const entries = Object.entries(value).map(([key, part]) => `${key}: ${flow(part)}`);
  return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { path, text, wanted } of keyDocuments()) if (wanted !== text) writeFileSync(path, wanted);
}
