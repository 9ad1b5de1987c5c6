/** Runs the commands of README.md and docs/tour.md, word for word but for the port numbers, and looks for what the documents must name. */

import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { defaultEndpoint } from '../../src/endpoint/defaults.ts';
import { freePort } from '../kit/free-port.ts';
import { environment, freshFolder, ROOT, Started } from './started.ts';

/** Ports that the documents name; others may be using them on this machine. */
const PORTS = ['18083', '1883', '1884', '1885', '1886', '8083'];
const BLOCK = /<!-- tour: (\w+) -->\n```sh\n([\s\S]*?)```/g;

const running = new Set<Started>();

afterEach(() => {
  for (const started of running) started.child.kill('SIGKILL');
  running.clear();
});

/** The commands of each step, in order. */
function readTour(): Map<string, string> {
  const text = readFileSync(join(ROOT, 'docs/tour.md'), 'utf8');
  return new Map([...text.matchAll(BLOCK)].map(([, name = '', commands = '']) => [name, commands.trim()]));
}

/** A free port for each that the documents name. */
async function freePorts(): Promise<Map<string, string>> {
  const free = new Map<string, string>();
  while (free.size < PORTS.length) {
    const port = String(await freePort());
    if (![...free.values()].includes(port)) free.set(PORTS[free.size]!, port);
  }
  return free;
}

function withPorts(commands: string, free: ReadonlyMap<string, string>): string {
  return commands.replaceAll(/\b(18083|188[3-6]|8083)\b/g, (name) => free.get(name)!);
}

/** Runs commands as a user pastes them, each of which must succeed. @returns the lines that they printed */
function paste(commands: string, cwd: string, env = process.env): Promise<string[]> {
  return new Promise((resolve, reject) => {
    execFile('bash', ['-ec', 'set -o pipefail\n'.concat(commands)], { cwd, env, timeout: 20_000 }, (error, stdout, stderr) => {
      if (error !== null) reject(new Error(`${error.message}\n${stdout}\n${stderr}`));
      else resolve(stdout.trim().split('\n'));
    });
  });
}

interface Line {
  code: number;
  data: unknown;
}

test('the tour does what docs/tour.md says', async () => {
  const folder = freshFolder();
  const tour = readTour();
  expect([...tour.keys()]).toEqual(['start', 'hello', 'add', 'cross', 'change', 'remove', 'kill', 'again', 'history', 'cli']);
  const free = await freePorts();
  const port = (name: string): number => Number(free.get(name));
  const step = (name: string): Promise<string[]> =>
    paste(withPorts(tour.get(name)!, free), folder, { ...process.env, FLUXMQ_HTTP_PORT: free.get('18083')! });
  const json = (line: string | undefined): Line => JSON.parse(line ?? '') as Line;
  const env = environment(port('18083'), { port: port('1883') });
  const start = async (): Promise<Started> => {
    const started = await Started.run(tour.get('start')!, folder, env);
    running.add(started);
    return started;
  };

  const first = await start();
  expect(existsSync(join(folder, 'logs/fluxmq.log'))).toBe(true);
  expect(await step('hello')).toEqual(['it works']);
  const added = (await step('add')).map(json);
  expect(added.map(({ code }) => code)).toEqual([200, 200, 200]);
  expect(added[2]).toMatchObject({ data: { endpoint: { id: 'guests', maxConnectionSize: 50 } } });
  const [heard, health] = await step('cross');
  expect(heard).toBe('hello from a guest');
  expect(json(health)).toMatchObject({ code: 200, data: [{ id: 'browsers', healthy: true }] });
  const [live, plan, moved] = (await step('change')).map(json);
  expect(live).toMatchObject({ code: 200, data: { effect: 'live' } });
  expect(plan).toMatchObject({ code: 200, data: { changes: [{ path: 'port', to: port('1886'), effect: 'rebind' }] } });
  expect(moved).toMatchObject({ code: 200, data: { effect: 'rebind', endpoint: { port: port('1886') } } });
  const [removed, list] = (await step('remove')).map(json);
  expect(removed).toMatchObject({ code: 200 });
  const left = [port('1883'), port('1884'), port('8083')].toSorted((a, b) => a - b);
  expect(list).toMatchObject({ data: { total: 3 } });
  expect((list!.data as { activePorts: number[] }).activePorts.toSorted((a, b) => a - b)).toEqual(left);

  await step('kill');
  await first.ended();
  // The launcher has become the broker: the pid that was killed is the one that was started.
  expect(first.child.signalCode).toBe('SIGKILL');
  const second = await start();
  const [message, status] = await step('again');
  const states = json(status).data as { id: string; state: string }[];
  expect(states.map(({ id, state }) => `${id} ${state}`).toSorted()).toEqual([
    'browsers running',
    `mqtt-${port('1883')} running`,
    'sensors running',
  ]);
  expect(message).toBe('21.5');

  const [rows, foresight, back, waiting, kept, restored] = (await step('history')).map(json);
  expect(rows).toMatchObject({
    data: [
      { action: 'remove', revision: 7 },
      { action: 'update', diff: [{ path: 'port' }] },
    ],
  });
  expect(foresight).toMatchObject({ data: { endpoints: [{ id: 'guests', action: 'added' }] } });
  expect(back).toMatchObject({ code: 200, data: { revision: 8, endpoint: { port: port('1885'), maxConnectionSize: 50 } } });
  expect(waiting).toMatchObject({ code: 200, data: { confirm: { revision: 9 } } });
  expect(kept).toMatchObject({ code: 200, data: { revision: 9 } });
  expect(restored).toMatchObject({ code: 200, data: { revision: 10, removed: 1, updated: 1, unchanged: 2, adopted: false } });

  const lines = (await step('cli')).join('\n');
  for (const part of [
    /^added guests/m,
    /^port +\d+ → \d+ /m,
    /^updated guests/m,
    /^guests .* ≤ 50 +listening$/m,
    /^ {4}maxConnectionSize +1000 → 50$/m,
    /^removed guests/m,
    /^0 added, 0 updated, 0 removed, 3 unchanged: a dry run/m,
  ]) {
    expect(lines).toMatch(part);
  }
  expect(await second.stop()).toBe(0);
}, 60_000);

test('the ten lines of README.md do what they show', async () => {
  const [, commands = ''] =
    /## A tour in ten lines\n[\s\S]*?```sh\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8')) ?? [];
  const free = await freePorts();
  const port = (name: string): number => Number(free.get(name));
  const folder = freshFolder();
  running.add(await Started.run('./fluxmq start', folder, environment(port('18083'), { port: port('1883') })));
  const env = { ...process.env, FLUXMQ_HTTP_PORT: free.get('18083')! };
  const lines = (await paste(withPorts(commands.trim(), free), folder, env)).join('\n');
  const moved = `${port('1884')} → ${port('1885')}`;
  for (const part of [/it works$/m, new RegExp(`^port +${moved} `, 'm'), /^updated guests/m, /trade fair/, /^removed guests/m]) {
    expect(lines).toMatch(part);
  }
}, 60_000);

test('the port of docs/tls.md with TLS and a login lets in who has both, and nobody else', async () => {
  const folder = freshFolder();
  const document = readFileSync(join(ROOT, 'docs/tls.md'), 'utf8');
  const blocks = [...document.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, commands = '']) => commands);
  expect(blocks).toHaveLength(2);
  const [admin, first, secure] = [await freePort(), await freePort(), await freePort()];
  running.add(await Started.run('./fluxmq start', folder, environment(admin, { port: first })));
  const commands = blocks.join('\n').replaceAll('18083', String(admin)).replaceAll('8883', String(secure));
  const printed = (await paste(commands, folder)).join('\n');
  expect(printed).toContain('Verify return code: 0 (ok)');
  expect(printed.match(/"code":200/g)).toHaveLength(2);
  const tls = `mosquitto_pub -h localhost -p ${secure} --cafile ca.pem -t hello -m world -q 1`;
  await expect(paste(`${tls} -u sensor-1 -P wrong --cert client.pem --key client.key`, folder)).rejects.toThrow(
    'bad user name or password',
  );
  await expect(paste(`${tls} -u sensor-1 -P wrong`, folder)).rejects.toThrow();
}, 60_000);

test('what docs/access.md shows of a configuration is valid', async () => {
  const folder = freshFolder();
  const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'docs/access.md'), 'utf8')) ?? [];
  expect(yaml).toContain('auth:');
  writeFileSync(join(folder, 'config.yaml'), yaml);
  expect(await paste('./fluxmq check --config config.yaml', folder)).toEqual(['config.yaml is valid']);
});

test('the example configuration is valid, and it and docs/endpoints.md name every key of an endpoint', async () => {
  expect(await paste(`./fluxmq check --config ${join(ROOT, 'config.example.yaml')}`, freshFolder())).toHaveLength(1);
  const [example, document] = ['config.example.yaml', 'docs/endpoints.md'].map((name) => readFileSync(join(ROOT, name), 'utf8'));
  const { serverOptions, childOptions, ...keys } = defaultEndpoint(1883);
  for (const key of [...Object.keys(keys), ...Object.keys(serverOptions), ...Object.keys(childOptions)]) {
    expect(example).toMatch(new RegExp(`\\b${key}:`));
    expect(document).toMatch(new RegExp(`[\`.]${key}\``));
  }
});
