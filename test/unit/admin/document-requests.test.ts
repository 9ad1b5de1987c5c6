/** Each request that the documents show has the form that the OpenAPI description gives it: no key and no parameter is missing there. */

import { expect, test } from 'vitest';
import { DOCUMENTS, requestsOf } from '../../kit/document-requests.ts';
import { allRoutes } from './stand-in.ts';

const shown = DOCUMENTS.flatMap((document) => requestsOf(document)).filter(({ body }) => body !== null);

test('the documents show requests of many routes', () => {
  expect([...new Set(shown.map(({ document }) => document))]).toEqual(DOCUMENTS);
  expect(new Set(shown.map(({ path }) => path)).size).toBeGreaterThan(7);
});

test.each(shown)('$document: $path $body', ({ path, body }) => {
  const route = allRoutes().find((candidate) => candidate.path === path);
  // A read over NATS has the parameters of the query in its body, where numbers are numbers.
  const schema = route?.body?.schema ?? route?.query;
  const given = route?.body === null ? Object.fromEntries(Object.entries(body!).map(([key, value]) => [key, String(value)])) : body;
  // parse() leaves out what a schema does not name
  expect(schema?.parse(given)).toEqual(body);
});
