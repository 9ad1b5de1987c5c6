/** Debian's Redis as a server for tests. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { freePort } from '../free-port.ts';
import { until } from '../until.ts';

export const REDIS_PASSWORD = 'r3dis-never-shown';

export interface RedisServer {
  readonly port: number;
  /** the port with TLS; 0: there is none */
  readonly tlsPort: number;
  /** Sends a command as the administrator. */
  run(...words: (string | Buffer)[]): Promise<unknown>;
  pause(): void;
  resume(): void;
  /** Kills the server. Its data are gone. */
  kill(): Promise<void>;
  /** Starts it again, without data. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/**
 * @param args more arguments of redis-server
 * @param tls a certificate for the port with TLS
 */
export async function startRedis(args: string[] = [], tls: { cert: string; key: string; ca: string } | null = null): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'kit-redis-'));
  const port = await freePort();
  const tlsPort = tls === null ? 0 : await freePort();
  const secure = tls === null ? [] : ['--tls-port', `${tlsPort}`, '--tls-cert-file', tls.cert, '--tls-key-file', tls.key];
  const more = tls === null ? [] : ['--tls-ca-cert-file', tls.ca, '--tls-auth-clients', 'no'];
  const all = [
    '--port',
    `${port}`,
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    folder,
    ...secure,
    ...more,
    ...args,
  ];
  const login = args.includes('--requirepass') ? { password: REDIS_PASSWORD } : {};
  let child: ChildProcess | null = null;
  const run = async (...words: (string | Buffer)[]): Promise<unknown> => {
    const client = createClient({ RESP: 2, ...login, socket: { port, host: '127.0.0.1', reconnectStrategy: false } });
    client.on('error', () => {});
    await client.connect();
    try {
      return await client.sendCommand(words);
    } finally {
      client.destroy();
    }
  };
  const kill = async () => {
    const one = child;
    if (one === null || one.exitCode !== null || one.signalCode !== null) return;
    const ended = new Promise((resolve) => one.once('exit', resolve));
    one.kill('SIGKILL');
    await ended;
    children.delete(one);
  };
  const server: RedisServer = {
    port,
    tlsPort,
    run,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    kill,
    async start() {
      child = spawn('redis-server', all, { stdio: 'ignore' });
      children.add(child);
      await until(
        'Redis',
        () =>
          run('PING').then(
            () => true,
            () => false,
          ),
        10_000,
      );
    },
    async stop() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}
