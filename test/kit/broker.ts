/** Starts the built broker as a user would, with its own folder and ports, and removes all traces of it afterwards. */

import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { messageOf } from '../../src/kernel/errors.ts';
import { freePort } from './free-port.ts';
import { patience } from './load.ts';
import { launch, startMosquitto } from './mosquitto.ts';
import { preload } from './preload.ts';
import { sleep, until, within } from './until.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const READY_MS = 20_000;
const PAUSES = join(import.meta.dirname, 'pauses.ts');

/** True when the tests are pointed at mosquitto instead of fluxmq: `KIT_BROKER=mosquitto`. */
export const isForeign = process.env['KIT_BROKER'] === 'mosquitto';

export interface ApiAnswer {
  status: number;
  /** parsed JSON, or the text */
  body: unknown;
  headers: Headers;
}

export interface Broker {
  /** `http://127.0.0.1:port` */
  admin: string;
  dir: string;
  pid: number;
  /** ports of the configured endpoints, in order */
  ports: number[];
  /** One request to the admin API; `body` is sent as JSON. */
  api(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
  /** Sends a signal and waits for the process to end. Returns null when the signal ended it. */
  kill(signal: NodeJS.Signals): Promise<number | null>;
  /** Sends SIGTERM and returns the exit code. @throws Error when the broker does not end within 15 s, after SIGKILL */
  stop(): Promise<number>;
  /** The log file, or '' before there is one. */
  log(): Promise<string>;
}

export interface BrokerOptions {
  /** each gets `host` 127.0.0.1 and a free `port` unless it names them */
  endpoints?: Record<string, unknown>[];
  /** merged over the configuration's top level */
  config?: Record<string, unknown>;
  env?: Record<string, string>;
  /** further arguments of `start` */
  args?: string[];
  /** time limit for becoming ready, milliseconds; default 20 s of an idle machine. For long runs that do not measure time */
  readyMs?: number;
  /** the folder of an earlier broker, whose configuration and data are used again */
  dir?: string;
}

/** Pause between two reads of a log that may still grow, milliseconds. */
const LOG_PAUSE_MS = 30;
const LOG_LOOKS_MAX = 20;

/** Reads a file that is written with a delay, until two reads find the same length. '' without the file. */
async function settledText(path: string): Promise<string> {
  let text = '';
  for (let look = 0; look < LOG_LOOKS_MAX; look++) {
    const newer = await readFile(path, 'utf8').catch(() => '');
    if (look > 0 && newer.length === text.length) break;
    text = newer;
    await sleep(LOG_PAUSE_MS);
  }
  return text;
}

/** Builds `dist/` when it is missing; `npm test` has built it already. */
function ensureBuilt(): void {
  if (!existsSync(join(ROOT, 'dist/main.js'))) execFileSync(join(ROOT, 'scripts/prepare'), { cwd: ROOT, stdio: 'ignore' });
}

const folders = new Set<string>();
process.on('exit', () => {
  for (const dir of folders) rmSync(dir, { recursive: true, force: true });
});

async function writeConfig(dir: string, options: BrokerOptions): Promise<void> {
  const endpoints = [];
  for (const endpoint of options.endpoints ?? []) endpoints.push({ host: '127.0.0.1', port: await freePort(), ...endpoint });
  const config = {
    http: { host: '127.0.0.1', port: await freePort() },
    store: { storeType: 'LOCAL', local: { dataPath: join(dir, 'data') } },
    log: { level: 'info', file: join(dir, 'fluxmq.log') },
    endpoints,
    ...options.config,
  };
  // JSON is YAML.
  writeFileSync(join(dir, 'config.yaml'), JSON.stringify(config, null, 2));
}

/** Keeps the output of the process, for the error when it does not come up. */
function collectOutput(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).slice(-4000);
    });
  }
  return () => text;
}

/** Starts a broker and waits until it is ready. @throws Error with its output when it is not ready in time */
export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'fluxmq-test-'));
  folders.add(dir);
  const file = join(dir, 'config.yaml');
  if (!existsSync(file)) await writeConfig(dir, options);
  const config = JSON.parse(readFileSync(file, 'utf8')) as {
    http: { port: number };
    endpoints: { port: number; useWebsocket?: boolean; enabled?: boolean }[];
  };
  const ports = config.endpoints.map((endpoint) => endpoint.port);
  const admin = `http://127.0.0.1:${config.http.port}`;
  const child = await spawnBroker(dir, file, options, config.endpoints);
  const output = collectOutput(child);
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const broker = handle(child, ended, admin, dir, ports);
  if (isForeign) return broker;
  try {
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
    await until(
      'broker ready',
      async () => {
        if (hasEnded()) return true;
        const health = await fetch(`${admin}/health`, { signal: AbortSignal.timeout(2000) });
        const { data } = (await health.json()) as { data: { status?: string } | null };
        // 503 without `starting`: each endpoint was tried, and none could listen.
        return [200, 503].includes(health.status) && data?.status !== 'starting';
      },
      options.readyMs ?? patience(READY_MS),
      30,
    );
    if (hasEnded()) throw new Error(`broker ready: it ended with ${child.exitCode ?? child.signalCode}`);
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${messageOf(error)}\n${output()}\n${await broker.log()}`);
  }
  return broker;
}

async function spawnBroker(
  dir: string,
  file: string,
  options: BrokerOptions,
  endpoints: { port: number; useWebsocket?: boolean }[],
): Promise<ChildProcess> {
  if (isForeign) return startMosquitto(endpoints.map(({ port, useWebsocket }) => ({ port, useWebsocket: useWebsocket ?? false })));
  ensureBuilt();
  const env: NodeJS.ProcessEnv = { ...process.env, ...options.env };
  if (env['KIT_PAUSES'] !== undefined) env['NODE_OPTIONS'] = `${env['NODE_OPTIONS'] ?? ''} ${preload(PAUSES)}`;
  return launch(process.execPath, [join(ROOT, 'dist/main.js'), 'start', '--config', file, ...(options.args ?? [])], {
    cwd: dir,
    env,
  });
}

function handle(child: ChildProcess, ended: Promise<number | null>, admin: string, dir: string, ports: number[]): Broker {
  return {
    admin,
    dir,
    pid: child.pid!,
    ports,
    api: async (method, path, body, headers = {}) => {
      const init: RequestInit = {
        method,
        headers: { 'content-type': 'application/json', ...headers },
        signal: AbortSignal.timeout(30_000),
      };
      if (body !== undefined) init.body = JSON.stringify(body);
      const answer = await fetch(admin + path, init);
      const text = await answer.text();
      const isJson = answer.headers.get('content-type')?.includes('json') ?? false;
      return { status: answer.status, body: isJson ? JSON.parse(text) : text, headers: answer.headers };
    },
    kill: async (signal) => {
      child.kill(signal);
      return within(`end after ${signal}`, 15_000, ended);
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? -1;
      child.kill('SIGTERM');
      const code = await Promise.race([ended, sleep(15_000).then(() => undefined)]);
      if (code === undefined) {
        child.kill('SIGKILL');
        throw new Error('the broker did not end within 15 s after SIGTERM');
      }
      return code ?? -1;
    },
    log: () => settledText(join(dir, 'fluxmq.log')),
  };
}
