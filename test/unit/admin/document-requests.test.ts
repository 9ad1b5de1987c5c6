/** Each request that the documents show has the form that the OpenAPI description gives it: no key and no parameter is missing there. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { allRoutes } from './stand-in.ts';

const ROOT = join(import.meta.dirname, '../../..');
const DOCUMENTS = ['README.md', 'docs/tour.md', 'docs/admin-api.md', 'docs/automation.md'];

interface Shown {
  path: string;
  body: Record<string, unknown>;
}

/** `curl … api/endpoints/add … -d '{…}'`, and `nats req fluxmq.endpoints.add '{…}'`. A body with shell variables is left out. */
function requestsOf(document: string): Shown[] {
  const lines = readFileSync(join(ROOT, document), 'utf8')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n');
  return lines.flatMap((line) => {
    const curl = /curl .*(\/api\/[a-z/-]+).* -d '(\{.*?\})'(?:\s|$)/.exec(line);
    const nats = /nats req fluxmq\.endpoints\.(\S+) '(\{.*?\})'/.exec(line);
    const [path, text] = curl === null ? [nats && `/api/endpoints/${nats[1]}`, nats?.[2]] : [curl[1], curl[2]];
    return typeof path !== 'string' || text === undefined || text.includes('$') ? [] : [{ path, body: JSON.parse(text) as Shown['body'] }];
  });
}

const shown = DOCUMENTS.flatMap((document) => requestsOf(document).map((request) => ({ document, ...request })));

test('the documents show requests of many routes', () => {
  expect(new Set(shown.map(({ document }) => document)).size).toBe(DOCUMENTS.length);
  expect(new Set(shown.map(({ path }) => path)).size).toBeGreaterThan(7);
});

test.each(shown)('$document: $path $body', ({ path, body }) => {
  const route = allRoutes().find((candidate) => candidate.path === path);
  // A read over NATS has the parameters of the query in its body, where numbers are numbers.
  const schema = route?.body?.schema ?? route?.query;
  const given = route?.body === null ? Object.fromEntries(Object.entries(body).map(([key, value]) => [key, String(value)])) : body;
  // parse() leaves out what a schema does not name
  expect(schema?.parse(given)).toEqual(body);
});
