/** The table conformance.md against the tests: each statement has its test or its reason, and each test's statement is in the table. */

import { globSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { expect, test } from 'vitest';

const HERE = import.meta.dirname;

interface Row {
  id: string;
  who: string;
  place: string;
}

const rows: Row[] = readFileSync(join(HERE, 'conformance.md'), 'utf8')
  .split('\n')
  .filter((line) => /^\| [35]:MQTT-/.test(line))
  .map((line) => {
    const [, id, who, , place] = line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'));
    return { id: id!, who: who!, place: place! };
  });

const sources = new Map(
  globSync('**/*.test.ts', { cwd: HERE })
    .filter((file) => basename(file) !== 'conformance.test.ts')
    .map((file) => [relative(HERE, join(HERE, file)), readFileSync(join(HERE, file), 'utf8')]),
);

/** Statements named in square brackets in a text. */
function statementsOf(text: string): string[] {
  return [...text.matchAll(/\[([35]:MQTT-[^\]]+)\]/g)].flatMap((match) => match[1]!.split(',').map((id) => id.trim()));
}

test('the table has every section of both standards, and each statement once', () => {
  const ids = rows.map((row) => row.id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.filter((id) => id.startsWith('5:')).length).toBeGreaterThan(230);
  expect(ids.filter((id) => id.startsWith('3:')).length).toBeGreaterThan(125);
});

test('each row names a test that is there and names the statement, or gives a reason', () => {
  const wrong: string[] = [];
  for (const { id, who, place } of rows) {
    if (/^n\/a: ./.test(place) || /^decode\.ts: ./.test(place)) continue;
    for (const reference of place.split('; ')) {
      const [, file, name] = /^(\S+\.test\.ts): (.+)$/.exec(reference) ?? [];
      const source = file === undefined ? undefined : sources.get(file);
      const at = name === undefined ? -1 : (source?.indexOf(name) ?? -1);
      const rest = at < 0 ? '' : source!.slice(at, source!.indexOf('\n', at));
      if (!statementsOf(rest).includes(id)) wrong.push(`${id} (${who}): ${reference}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('what only a client obeys may be n/a, what a server obeys may not without saying why', () => {
  expect(rows.filter((row) => row.who !== 'client' && row.place === 'n/a: client')).toEqual([]);
});

test('each statement that a test names is in the table', () => {
  const known = new Set(rows.map((row) => row.id));
  const unknown = [...sources].flatMap(([file, source]) =>
    statementsOf(source)
      .filter((id) => !known.has(id))
      .map((id) => `${file}: ${id}`),
  );
  expect(unknown).toEqual([]);
});
