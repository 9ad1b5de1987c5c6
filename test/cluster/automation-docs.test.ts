/** docs/automation.md holds: its permissions let a cluster work, its commands, its programs and its list of events are tried. */

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { connect, headers, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BUS_OPERATIONS } from '../../src/admin/bus/operations.ts';
import { freePort } from '../kit/free-port.ts';
import { until } from '../kit/until.ts';
import { storeOf, TestCluster } from './kit.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PAGE = readFileSync(join(ROOT, 'docs/automation.md'), 'utf8');
const run = promisify(execFile);

/** The text of the block that begins with these words. */
function block(head: string): string {
  const [, text] = PAGE.split(`\n\`\`\`${head}\n`);
  return text!.slice(0, text!.indexOf('\n```'));
}

interface Command {
  subject: string;
  body: string;
  named: [string, string][];
}

/** Words as a shell has them: parts in single quotes stay whole. */
function toCommand(line: string): Command {
  const words = [...line.matchAll(/(?:'[^']*'|[^\s'])+/g)].map(([word]) => word.replaceAll("'", ''));
  const [, , subject, body, ...options] = words;
  const named = options.flatMap((word, index): [string, string][] => {
    const value = options[index + 1] ?? '';
    return word === '-H' ? [[value.slice(0, value.indexOf(':')), value.slice(value.indexOf(':') + 1)]] : [];
  });
  return { subject: subject!, body: body!, named };
}

let cluster: TestCluster;
let operator: NatsConnection;
let folder: string;
beforeAll(async () => {
  const credentials = { user: 'node', password: 'change-me-1' };
  cluster = await TestCluster.start({ store: storeOf(null, ''), nodes: 2, config: block('text nats.conf'), cluster: { credentials } });
  operator = await connect({ servers: cluster.nats.urls, user: 'operator', pass: 'change-me-2' });
  await until('it is served', () => operator.request('fluxmq.endpoints.list', '', { timeout: 1_000 }).catch(() => null), 10_000);
  // Inside the project, so that the program finds its package.
  folder = mkdtempSync(join(ROOT, '.prepare/docs-'));
}, 90_000);
afterAll(async () => {
  await operator?.close();
  await cluster?.stop();
  if (folder !== undefined) rmSync(folder, { recursive: true });
}, 60_000);

async function runExample(name: string, program: string, ...args: string[]): Promise<string[]> {
  const file = join(folder, name);
  writeFileSync(file, `${block(name.endsWith('.py') ? `python ${name}` : `js ${name}`)}\n`);
  const env = { ...process.env, NATS_URL: cluster.nats.urls[0], NATS_PASSWORD: 'change-me-2' };
  return (await run(program, [file, ...args], { env, timeout: 60_000 })).stdout.trim().split('\n');
}

test('the commands, in their order, are answered with success', async () => {
  const port = String(await freePort());
  const lines = block('sh').split('\n');
  expect(lines.length).toBeGreaterThan(5);
  for (const line of lines) {
    const { subject, body, named } = toCommand(line);
    const all = headers();
    for (const [name, value] of named) all.set(name, value);
    const answer = await operator.request(subject, body.replaceAll('1884', port), { timeout: 40_000, headers: all });
    expect(answer.json(), line).toMatchObject({ code: 200 });
  }
  const history = await operator.request('fluxmq.endpoints.history', `{"port": ${port}}`, { timeout: 10_000 });
  const { data } = history.json<{ data: { action: string; actor: string; reason: string | null }[] }>();
  expect(data.map(({ action, actor, reason }) => [action, actor, reason])).toEqual([
    ['remove', 'ann', null],
    ['update', 'ann', null],
    ['add', 'ann', 'more devices'],
  ]);
});

test('the programs do what they say', async () => {
  const port = String(await freePort());
  const [added, confirmed] = await runExample('example.mjs', process.execPath, port);
  const [, revision] = /^revision (\d+) node-1: applied, node-2: applied$/.exec(added!)!;
  expect(confirmed).toBe('confirmed');
  expect(await runExample('example.py', 'python3', port)).toEqual([`revision ${Number(revision) + 1} effect live`, 'actor example']);
});

test('the viewer may look, and nothing else', async () => {
  const viewer = await connect({ servers: cluster.nats.urls, user: 'viewer', pass: 'change-me-3' });
  for (const name of ['list', 'status']) {
    const answer = await viewer.request(`fluxmq.endpoints.${name}`, '', { timeout: 10_000 });
    expect(answer.json()).toMatchObject({ code: 200 });
  }
  for (const name of ['add', 'export', 'history'])
    await expect(viewer.request(`fluxmq.endpoints.${name}`, '{}', { timeout: 500 })).rejects.toThrow();
  await viewer.close();
});

test('every operation is in the tables', () => {
  const table = PAGE.slice(PAGE.indexOf('| operations | body |'), PAGE.indexOf('| header | meaning |'));
  const named = [...table.matchAll(/`([a-z-]+)`/g)].map(([, name]) => name);
  expect(named.sort()).toEqual(Object.keys(BUS_OPERATIONS).sort());
});
