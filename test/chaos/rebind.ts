/** Changes one endpoint again and again under a storm of new connections, with traffic on established ones. */

import { type Broker, startBroker } from '../kit/broker.ts';
import { openssl } from '../kit/certificates.ts';
import { freePort } from '../kit/free-port.ts';
import type { TransportName } from '../kit/transport.ts';
import { Storm, type StormReport, type Target } from './storm.ts';
import { Traffic } from './traffic.ts';

export const WIDE = {
  host: '127.0.0.1',
  enableAuth: false,
  maxConnectionSize: 1_000_000,
  maxConnectionPerSecond: 1_000_000,
  maxSessionSize: 1_000_000,
  maxQueuedMessages: 1_000_000,
};

export interface RebindOptions {
  changes: number;
  connectionsPerSecond: number;
  messagesPerSecond: number;
}

export interface RebindReport {
  changes: number;
  storm: StormReport;
  /** failures, each with the change during which it happened */
  faults: string[];
  messages: number;
  dropped: number;
  /** longest time of an answer, milliseconds */
  slowestChangeMs: number;
  latency: { p50: number; p99: number; max: number };
}

/** Makes a body for `update`, and tells where the endpoint is afterwards. */
type Change = (state: Target) => Promise<{ body: Record<string, unknown>; after: Target }>;

const stays =
  (body: Record<string, unknown>): Change =>
  async (after) => ({ body, after });
const becomes =
  (transport: TransportName): Change =>
  async (state) => ({ body: { useWebsocket: transport === 'ws' }, after: { ...state, transport } });
const moves: Change = async (state) => {
  const port = await freePort();
  return { body: { newPort: port }, after: { ...state, port } };
};
function partOf(pem: string, name: string): string {
  return pem.slice(pem.indexOf(`-----BEGIN ${name}`), pem.indexOf(`-----END ${name}-----`) + `-----END ${name}-----`.length);
}
/** One certificate for the whole run, because openssl is slow. */
let server: { cert: string; key: string } | null = null;
function serverCertificate(): { cert: string; key: string } {
  if (server !== null) return server;
  // An elliptic-curve key: with RSA, hundreds of handshakes a second would measure the processor.
  const made = openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-subj',
    '/CN=localhost',
    '-keyout',
    '-',
  );
  server = { cert: partOf(made, 'CERTIFICATE'), key: partOf(made, 'PRIVATE KEY') };
  return server;
}
const secures: Change = async (state) => ({ body: { sslConfig: serverCertificate() }, after: { ...state, isSecure: true } });
const unsecures: Change = async (state) => ({ body: { sslConfig: null }, after: { ...state, isSecure: false } });

/** Changes that need a listener or its transport to change, in turn. */
export const CHANGES: Change[] = [
  stays({ serverOptions: { soBacklog: 1024 } }),
  stays({ namespace: 'other' }),
  stays({ serverOptions: { workerGroupSize: 2 } }),
  stays({ host: '0.0.0.0' }),
  stays({ exclusivePool: false }),
  becomes('ws'),
  stays({ websocketTransport: 'uws' }),
  stays({ serverOptions: { workerGroupSize: 3 } }),
  stays({ exclusivePool: true }),
  secures,
  stays({ websocketTransport: 'builtin' }),
  moves,
  becomes('tcp'),
  stays({ namespace: 'default' }),
  unsecures,
  stays({ serverOptions: { workerGroupSize: 1 } }),
  stays({ host: '127.0.0.1' }),
  stays({ serverOptions: { soBacklog: 511 } }),
  moves,
];

/** Sends one update. @throws Error unless the answer is 200 and applied */
async function update(broker: Broker, body: Record<string, unknown>): Promise<void> {
  const answer = await broker.api('POST', '/api/endpoints/update', body);
  const text = JSON.stringify(answer.body);
  if (answer.status !== 200 || !text.includes('"applied"')) throw new Error(`${JSON.stringify(body)}: ${text}`);
}

/** @throws Error when a change is refused, or a message is lost */
export async function rebindUnderLoad({ changes, connectionsPerSecond, messagesPerSecond }: RebindOptions): Promise<RebindReport> {
  const broker = await startBroker({ endpoints: [{ ...WIDE, id: 'stormy' }] });
  try {
    let state: Target = { port: broker.ports[0]!, transport: 'tcp', isSecure: false };
    const traffic = await Traffic.start({ transport: 'tcp', from: state.port, to: state.port, pairs: 10, perSecond: messagesPerSecond });
    const storm = new Storm(connectionsPerSecond, [state]);
    let slowestChangeMs = 0;
    const made: { body: Record<string, unknown>; from: number; to: number }[] = [];
    for (let n = 0; n < changes; n++) {
      const { body, after } = await (CHANGES[n % CHANGES.length] as Change)(state);
      const targets: Target[] = after === state ? [state] : [state, after];
      await storm.aim(targets);
      const from = Date.now();
      await update(broker, { id: 'stormy', ...body });
      made.push({ body, from, to: Date.now() });
      slowestChangeMs = Math.max(slowestChangeMs, Date.now() - from);
      state = after;
      await storm.aim([state]);
    }
    const report = await storm.stop();
    const faults = report.faults.map(({ why, place, at }) => {
      const last = made.findLast(({ from }) => from <= at);
      const during = last === undefined ? 'before all changes' : `${at - last.from} ms into a change of ${last.to - last.from} ms`;
      return `${why} at ${JSON.stringify(place)} ${during}: ${JSON.stringify(last?.body).slice(0, 100)}`;
    });
    const { dropped } = traffic;
    const messages = await traffic.stop();
    return { changes, storm: report, faults, messages, dropped, slowestChangeMs: Math.round(slowestChangeMs), latency: traffic.latency() };
  } finally {
    await broker.stop();
  }
}
