/** This broker, built, with its default endpoint; only its connection limits are raised. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { PROBE_MS } from '../../src/metrics/loop-delay.ts';
import { type BrokerNeeds, LOGIN } from '../scenario.ts';
import { type Command, type Inside, makeCertificate, type Peer } from './peer.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** The running commit, with `+` when files differ from it. */
export function commit(): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }).trim();
    const isChanged = git('status', '--porcelain', '--untracked-files=no', '--', 'src', 'workers') !== '';
    return git('rev-parse', '--short', 'HEAD') + (isChanged ? '+' : '');
  } catch {
    return 'unknown';
  }
}

/** In the form of a configuration. */
const PASSWORD_HASH = createHash('sha256').update(LOGIN.password).digest('hex');

const ACCESS = {
  enableAuth: true,
  authType: 'fixed',
  authConfig: { users: [{ username: LOGIN.username, password: PASSWORD_HASH, encrypt: 'sha256', salt: '', saltMode: 'disable' }] },
  enableAcl: true,
  aclType: 'config',
  aclConfig: {
    default: 'deny',
    rules: [
      { permission: 'deny', subject: { type: 'user', value: 'nobody' }, action: 'pubsub', topic: 'secret/#' },
      { permission: 'allow', subject: { type: 'user', value: LOGIN.username }, action: 'pubsub', topic: 'bench/#' },
    ],
  },
};
/** A built fluxmq in a folder: this one, or another to compare it with. */
export function checkout(name: string, root: string): Peer {
  return { ...COMMON, name, command: (dir, port, needs, adminPort) => command(root, dir, port, needs, adminPort, {}) };
}

/** This broker with one transport for all WebSocket connections. */
function withTransport(websocketTransport: string): Peer {
  const other = `${COMMON.settings.other}; websocketTransport ${websocketTransport}`;
  return {
    ...COMMON,
    name: `fluxmq-${websocketTransport}`,
    settings: { ...COMMON.settings, other },
    refuses: ({ isWebsocket }) => (isWebsocket ? null : 'the same as fluxmq without WebSocket'),
    command: (dir, port, needs, adminPort) => command(ROOT, dir, port, needs, adminPort, { websocketTransport }),
  };
}

const COMMON: Omit<Peer, 'name' | 'command'> = {
  version: () => (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version,
  settings: {
    tcpNoDelay: 'on',
    persistence: 'off',
    other: 'default endpoint without authentication, one worker; connection limits raised',
  },
  refuses: () => null,
  inside,
};

/** Metrics of the endpoint workers. A block may begin up to some milliseconds before the probe of an event loop is due. */
async function inside(adminPort: number): Promise<Inside> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/public/metrics`, { signal: AbortSignal.timeout(10_000) });
  const text = await answer.text();
  const values = (name: string): number[] =>
    [...text.matchAll(new RegExp(`^fluxmq_worker_${name}\\{[^}]*role="endpoint"[^}]*\\} (\\S+)$`, 'gm'))].map((match) => Number(match[1]));
  const sum = (name: string): number => values(name).reduce((total, value) => total + value, 0);
  const delays = values('event_loop_delay_max_seconds');
  if (delays.length === 0) throw new Error('the broker does not report the delays of its event loops');
  return {
    blockMs: Math.max(...delays) * 1000 + PROBE_MS,
    blocks: sum('event_loop_blocks_total'),
    crossed: sum('crossed_messages_total'),
  };
}

function command(root: string, dir: string, port: number, needs: BrokerNeeds, adminPort: number, more: object): Command {
  const endpoint = {
    port,
    host: '0.0.0.0',
    useWebsocket: needs.isWebsocket,
    maxConnectionSize: 100_000,
    maxConnectionPerSecond: 1_000_000,
    serverOptions: { workerGroupSize: needs.workers, soBacklog: 4096 },
    ...(needs.isTls ? { sslConfig: { enabled: true, ...makeCertificate(dir) } } : {}),
    ...(needs.hasAuth ? ACCESS : { enableAuth: false }),
    ...more,
  };
  const config = {
    http: { host: '127.0.0.1', port: adminPort },
    store: { storeType: 'LOCAL', local: { dataPath: join(dir, 'data') } },
    log: { file: join(dir, 'fluxmq.log') },
    endpoints: [endpoint],
  };
  const file = join(dir, 'config.yaml');
  writeFileSync(file, JSON.stringify(config));
  const profile = process.env['BENCH_CPU_PROF'];
  const flags = profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-interval=500', `--cpu-prof-dir=${profile}`];
  return { command: process.execPath, args: [...flags, join(root, 'dist/main.js'), 'start', '--config', file] };
}

export const fluxmq: Peer = checkout('fluxmq', ROOT);
export const fluxmqUws: Peer = withTransport('uws');
export const fluxmqBuiltin: Peer = withTransport('builtin');
