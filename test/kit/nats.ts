/** Real nats-servers for tests: a single one or a JetStream cluster, each of which can be killed, frozen and restarted. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

export interface NatsServer {
  readonly port: number;
  /** port of the server's monitoring, over HTTP */
  readonly monitor: number;
  /** null while the server does not run */
  readonly pid: number | null;
  readonly url: string;
  start(): Promise<void>;
  /** kill -9 */
  kill(): Promise<void>;
  /** Freezes the server: it neither answers nor closes a connection. */
  pause(): void;
  resume(): void;
}

export interface NatsServers {
  readonly urls: string[];
  readonly servers: NatsServer[];
  /** Ends all for good and removes their folder. Idempotent. */
  stop(): Promise<void>;
}

export interface NatsOptions {
  /** number of servers; more than one form a cluster */
  size?: number;
  /** further lines of each configuration file */
  config?: string;
}

/** Milliseconds that a frozen process may take to stand still. */
const STOP_TRIES = 1_000;
const NEVER = new Int32Array(new SharedArrayBuffer(4));

const children = new Set<ChildProcess>();
const folders = new Set<string>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** @throws Error with the server's log when a server does not come up */
export async function startNats({ size = 1, config = '' }: NatsOptions = {}): Promise<NatsServers> {
  const folder = mkdtempSync(join(tmpdir(), 'kit-nats-'));
  folders.add(folder);
  const ports = await Promise.all(Array.from({ length: size }, () => freePort()));
  const routes = await Promise.all(ports.map(() => freePort()));
  const monitors = await Promise.all(ports.map(() => freePort()));
  const servers = ports.map((port, index) => {
    const path = join(folder, `n${index}`);
    mkdirSync(path);
    writeFileSync(join(path, 'nats.conf'), configOf({ index, port, monitor: monitors[index]!, routes, path, config }));
    return new Server(path, port, monitors[index]!);
  });
  await Promise.all(servers.map((server) => server.start()));
  return {
    urls: servers.map(({ url }) => url),
    servers,
    stop: async () => {
      for (const server of servers) await server.kill();
      rmSync(folder, { recursive: true, force: true });
      folders.delete(folder);
    },
  };
}

function configOf(options: { index: number; port: number; monitor: number; routes: number[]; path: string; config: string }): string {
  const { index, port, monitor, routes, path, config } = options;
  const others = routes.map((route) => `nats-route://127.0.0.1:${route}`).join(', ');
  const cluster = routes.length === 1 ? '' : `cluster { name: kit, listen: "127.0.0.1:${routes[index]}", routes: [${others}] }\n`;
  return `server_name: kit-${index}\nlisten: "127.0.0.1:${port}"\nhttp: "127.0.0.1:${monitor}"\njetstream { store_dir: "${path}" }\n${cluster}${config}\n`;
}

class Server implements NatsServer {
  readonly port: number;
  readonly monitor: number;
  readonly url: string;
  readonly #path: string;
  #child: ChildProcess | null = null;

  constructor(path: string, port: number, monitor: number) {
    this.#path = path;
    this.port = port;
    this.monitor = monitor;
    this.url = `nats://127.0.0.1:${port}`;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  async start(): Promise<void> {
    const logPath = join(this.#path, 'server.log');
    const log = openSync(logPath, 'a');
    // The kernel ends the server with this process, however this process ends.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'nats-server', '-c', join(this.#path, 'nats.conf')], {
      stdio: ['ignore', log, log],
      env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` },
    });
    closeSync(log);
    children.add(child);
    this.#child = child;
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
    await until(`nats-server on port ${this.port}`, async () => hasEnded() || (await answers(this.port)), 20_000, 20);
    if (hasEnded()) throw new Error(`nats-server ended: ${readFileSync(logPath, 'utf8').slice(-2000)}`);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    children.delete(child);
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await until('the end of nats-server', () => child.exitCode !== null || child.signalCode !== null, 10_000, 5);
  }

  pause(): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    this.#child?.kill('SIGSTOP');
    // A thread that waits for a processor stops when it gets one, and might answer first.
    for (let tries = 0; tries < STOP_TRIES && !isStopped(pid); tries++) Atomics.wait(NEVER, 0, 0, 1);
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }
}

/** True when every thread of the process stands still. */
function isStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).every((task) => / [Tt] /.test(readFileSync(join(tasks, task, 'stat'), 'latin1').replace(/^.*\)/, '')));
}

/** True when a server on the port greets like a nats-server. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    const done = (isUp: boolean) => {
      socket.destroy();
      resolve(isUp);
    };
    socket.once('data', (bytes) => done(bytes.toString('latin1').startsWith('INFO ')));
    socket.once('error', () => done(false));
    socket.setTimeout(1_000, () => done(false));
  });
}
