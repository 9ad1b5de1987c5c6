/** `fluxmq endpoint watch`: lines as things happen, over a restart of the broker too. */

import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { freePort } from '../../kit/free-port.ts';
import { launch } from '../../kit/mosquitto.ts';
import { until, within } from '../../kit/until.ts';
import { cleanEnvironment, commandIn, printed, ROOT } from './command.ts';

let broker: Broker;
const run = commandIn(() => broker.dir);
const watchers: ChildProcess[] = [];

beforeAll(async () => {
  broker = await startBroker({
    endpoints: [
      { id: 'first', enableAuth: false },
      { id: 'second', enableAuth: false },
    ],
  });
}, 40_000);

afterAll(async () => {
  for (const watcher of watchers) watcher.kill('SIGKILL');
  expect(await broker.stop()).toBe(0);
});

/** Starts `endpoint watch` and waits until it hears. */
async function watch(...args: string[]): Promise<{ child: ChildProcess; lines: () => string[]; told: () => string }> {
  const command = [join(ROOT, 'dist/cli.js'), 'endpoint', 'watch', ...args];
  const child = launch(process.execPath, command, { cwd: broker.dir, env: cleanEnvironment() });
  watchers.push(child);
  let [out, err] = ['', ''];
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  await until('watching', () => (out + err).includes('ready') || err.includes('watching'), 15_000);
  return { child, lines: () => out.split('\n').filter((line) => line !== ''), told: () => err };
}

test('revisions and states, of all endpoints or of one, and over a restart of the broker', async () => {
  const all = await watch();
  const one = await watch('second', '--json');
  const port = await freePort();
  printed(await run(`endpoint add port=${port} id=third host=127.0.0.1`));
  printed(await run('endpoint update second maxSessionSize=7'));
  await until('the update is shown', () => all.lines().some((line) => /^\S+Z {2}revision \d+: second updated$/.test(line)), 10_000);
  expect(all.lines().some((line) => line.includes(`third (port ${port}) running, revision `))).toBe(true);
  expect(all.lines().some((line) => /revision \d+: third added$/.test(line))).toBe(true);
  const events = () => one.lines().map((line) => JSON.parse(line) as { event: string; changes?: { id: string }[] });
  await until('the update is shown as JSON', () => events().some(({ changes }) => changes?.[0]?.id === 'second'), 10_000);
  expect(events()[0]).toMatchObject({ event: 'ready' });
  expect(JSON.stringify(events())).not.toContain('third');
  expect(await broker.stop()).toBe(0);
  broker = await startBroker({ dir: broker.dir });
  await until('it is found again', () => all.told().match(/watching/g)?.length === 2, 15_000);
  printed(await run('endpoint remove third'));
  await until('the removal is shown', () => all.lines().some((line) => /revision \d+: third removed$/.test(line)), 10_000);
  for (const { child } of [all, one]) {
    const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
    child.kill('SIGINT');
    expect(await within('end of watch', 5_000, ended)).toBe('SIGINT');
  }
}, 60_000);

test('without a broker, and with an endpoint that is none, it ends', async () => {
  expect(await run(`endpoint watch --api 127.0.0.1:${await freePort()}`)).toMatchObject({ code: 3, stdout: '' });
  expect((await run('endpoint watch a/b')).code).toBe(2);
});
