/** Signals and standard streams that must not end the broker (docs/operations.md): SIGHUP and its like at any time, a reader of its output that hangs or goes. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Authority, certificateFolder } from '../../kit/certificates.ts';
import { freePort } from '../../kit/free-port.ts';
import { connected } from '../../kit/lanes.ts';
import { patience } from '../../kit/load.ts';
import { sleep, until } from '../../kit/until.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const MAIN = join(ROOT, 'dist/main.js');

/** Beyond the deadline of a start on a busy machine, which says what was late. */
vi.setConfig({ testTimeout: 100_000 });

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Place {
  dir: string;
  port: number;
  admin: number;
}

async function place(): Promise<Place> {
  const dir = mkdtempSync(join(tmpdir(), 'fluxmq-signals-'));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  const [port, admin] = [await freePort(), await freePort()];
  const config = {
    http: { host: '127.0.0.1', port: admin },
    store: { storeType: 'MEMORY' },
    log: { file: 'fluxmq.log' },
    endpoints: [{ port, id: 'one', host: '127.0.0.1', enableAuth: false }],
  };
  writeFileSync(join(dir, 'config.yaml'), JSON.stringify(config));
  return { dir, port, admin };
}

function begin({ dir }: Place, stdio: ('ignore' | 'pipe' | number)[] = ['ignore', 'ignore', 'ignore']): ChildProcess {
  const child = spawn(process.execPath, [MAIN, 'start', '--config', 'config.yaml'], { cwd: dir, stdio });
  cleanups.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  return child;
}

const logOf = ({ dir }: Place) => (existsSync(join(dir, 'fluxmq.log')) ? readFileSync(join(dir, 'fluxmq.log'), 'utf8') : '');
const isReady = (where: Place) => until('ready', () => logOf(where).includes('is ready'), patience(20_000));

async function start(where: Place, stdio?: ('ignore' | 'pipe' | number)[]): Promise<ChildProcess> {
  const child = begin(where, stdio);
  await isReady(where);
  return child;
}

async function serves({ port }: Place): Promise<void> {
  const client = await connected('tcp', port, 5);
  await client.publish('a', 'b', { qos: 1 });
  await client.disconnect();
}

async function endsInOrder(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  child.kill(signal);
  expect(await once(child, 'exit')).toEqual([0, null]);
}

/** Makes the node write lines of the log. */
async function makeNoise({ admin }: Place, times: number): Promise<void> {
  for (let n = 0; n < times; n++) {
    const answer = await fetch(`http://127.0.0.1:${admin}/api/endpoints/update`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ id: 'one', maxConnectionSize: 2000 + n, reason: 'r'.repeat(900) }),
      signal: AbortSignal.timeout(10_000),
    });
    expect(answer.status).toBe(200);
  }
}

function listeners(pid: number): string[] {
  const sockets = execFileSync('ls', ['-l', `/proc/${pid}/fd`], { encoding: 'utf8' });
  const inodes = new Set([...sockets.matchAll(/socket:\[(\d+)\]/g)].map(([, inode]) => inode));
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1);
  return lines.map((line) => line.trim().split(/\s+/)).flatMap((f) => (f[3] === '0A' && inodes.has(f[9]) ? [f[1]!] : []));
}

test('SIGHUP, SIGUSR1, SIGUSR2 and those of terminals and pipes leave clients alone, and open no debugger', async () => {
  const where = await place();
  const child = await start(where);
  const client = await connected('tcp', where.port, 5);
  const before = listeners(child.pid!).length;
  const terminal = ['SIGPIPE', 'SIGWINCH', 'SIGCONT', 'SIGURG', 'SIGTTIN', 'SIGTTOU'] as const;
  for (const signal of [...terminal, 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGIO', 'SIGHUP'] as const) {
    child.kill(signal);
    await sleep(150);
    await client.ping();
  }
  expect(listeners(child.pid!).length).toBe(before);
  expect(logOf(where)).toContain('SIGHUP: the log file was reopened; no certificate has changed');
  await endsInOrder(child, 'SIGQUIT');
});

test('they may come at any moment of the start and of the shutdown', async () => {
  const where = await place();
  const child = begin(where);
  await once(child, 'spawn');
  // Node itself begins before the first line of ours runs.
  await until(
    'our signal handlers are there',
    () => /^SigCgt:\s*[0-9a-f]*[13579bdf]$/m.test(readFileSync(`/proc/${child.pid}/status`, 'utf8')),
    5_000,
    5,
  );
  const pester = setInterval(() => {
    for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) child.kill(signal);
  }, 5);
  cleanups.push(() => clearInterval(pester));
  await isReady(where);
  await serves(where);
  await endsInOrder(child, 'SIGTERM');
  expect(logOf(where)).toContain('stopped in order');
});

test('SIGHUP after logrotate writes to the new file, and takes a changed certificate at once', async () => {
  const where = await place();
  const authority = Authority.root(certificateFolder());
  const first = authority.issue('localhost');
  const [crt, key] = [join(where.dir, 'a.crt'), join(where.dir, 'a.key')];
  copyFileSync(first.cert, crt);
  copyFileSync(first.key, key);
  const config = JSON.parse(readFileSync(join(where.dir, 'config.yaml'), 'utf8')) as { http: Record<string, unknown>; endpoints: object[] };
  config.http['ssl'] = { crt, key };
  const secure = await freePort();
  config.endpoints.push({ port: secure, host: '127.0.0.1', enableAuth: false, sslConfig: { enabled: true, cert: crt, key } });
  writeFileSync(join(where.dir, 'config.yaml'), JSON.stringify(config));
  const child = await start(where);
  const second = authority.issue('localhost');
  copyFileSync(second.cert, crt);
  copyFileSync(second.key, key);
  renameSync(join(where.dir, 'fluxmq.log'), join(where.dir, 'fluxmq.log.1'));
  child.kill('SIGHUP');
  const line = `SIGHUP: the log file was reopened; Admin API: a new certificate; Endpoint ${secure}: a new certificate`;
  await until('the new file has it', () => logOf(where).includes(line), 5_000);
  writeFileSync(crt, 'nothing');
  child.kill('SIGHUP');
  await until('a bad one is refused', () => logOf(where).includes(`Endpoint ${secure}: the changed certificate is refused`), 5_000);
  await endsInOrder(child, 'SIGTERM');
});

describe('standard output', () => {
  test('whose reader ends', async () => {
    const where = await place();
    const child = begin(where, ['ignore', 'pipe', 'pipe']);
    await once(child.stdout!, 'data');
    child.stdout!.destroy();
    child.stderr!.destroy();
    await isReady(where);
    await makeNoise(where, 3);
    await serves(where);
    await until('the file says so', () => logOf(where).includes('standard output cannot be written'));
    await endsInOrder(child, 'SIGTERM');
  });

  test('whose reader hangs: nobody waits, lines are counted as lost, and it is written again when it is read', async () => {
    const where = await place();
    const fifo = join(where.dir, 'pipe');
    execFileSync('mkfifo', [fifo]);
    const reader = spawn('sh', ['-c', `exec <"$0"; read -r go <&3; exec cat >"$0.out"`, fifo], {
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    });
    cleanups.push(() => reader.kill('SIGKILL'));
    const writing = openSync(fifo, 'w');
    const child = await start(where, ['ignore', writing, 'ignore']);
    closeSync(writing);
    await makeNoise(where, 100);
    await serves(where);
    (reader.stdio[3] as NodeJS.WritableStream).write('go\n');
    const out = `${fifo}.out`;
    await until('what waited is read', () => existsSync(out) && readFileSync(out, 'utf8').includes('maxConnectionSize'), 5_000);
    await endsInOrder(child, 'SIGTERM');
    expect(readFileSync(out, 'utf8')).toContain('stopped in order');
  });

  test.each(['/dev/full', 'closed'])('that is %s', async (what) => {
    const where = await place();
    const full = what === 'closed' ? 'ignore' : openSync(what, 'w');
    const child =
      what === 'closed'
        ? spawn('sh', ['-c', 'exec "$0" "$1" start --config config.yaml >&- 2>&- <&-', process.execPath, MAIN], { cwd: where.dir })
        : begin(where, ['ignore', full, full]);
    cleanups.push(() => child.kill('SIGKILL'));
    await isReady(where);
    await makeNoise(where, 3);
    await serves(where);
    await endsInOrder(child, 'SIGTERM');
  });

  test('that is a terminal which goes: SIGHUP, then EIO', async () => {
    const where = await place();
    const script =
      'import os, pty, sys\npid, fd = pty.fork()\nif pid == 0: os.execv(sys.argv[1], sys.argv[1:])\nprint(pid, flush=True)\nsys.stdin.read(1)\nos.close(fd)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)';
    const terminal = spawn('python3', ['-c', script, process.execPath, MAIN, 'start', '--config', 'config.yaml'], {
      cwd: where.dir,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [first] = (await once(terminal.stdout, 'data')) as [Buffer];
    const pid = Number(first.toString());
    cleanups.push(() => terminal.kill('SIGKILL'));
    await isReady(where);
    expect(readlinkSync(`/proc/${pid}/fd/1`)).toMatch(/^\/dev\/pts\//);
    terminal.stdin.write('x');
    await until('it has gone', () => logOf(where).includes('SIGHUP: the log file was reopened'), 5_000);
    await makeNoise(where, 3);
    await serves(where);
    const ended = once(terminal.stdout, 'data') as Promise<[Buffer]>;
    process.kill(pid, 'SIGTERM');
    expect(String((await ended)[0]).trim()).toBe('0');
  });
});
