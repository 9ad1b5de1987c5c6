/** A control plane over fake workers and a store in memory, and a client that speaks to them. */

import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { RequestContext } from '../../../src/control/contract/request-parts.ts';
import { type RunningControl, startControl } from '../../../src/control/start-control.ts';
import type { Endpoint } from '../../../src/endpoint/endpoint.ts';
import { parseEndpoint } from '../../../src/endpoint/schema.ts';
import type { LogFields, Logger } from '../../../src/kernel/logger.ts';
import type { Settings } from '../../../src/settings/settings.ts';
import type { NodeStore } from '../../../src/storage/documents/document-store.ts';
import { openMemoryStore } from '../../../src/storage/memory/memory-store.ts';
import { Sealer } from '../../../src/storage/sealed/sealer.ts';
import { patience } from '../../kit/load.ts';
import { bundled } from '../../kit/preload.ts';
import { testSettings } from '../../kit/settings.ts';

export const FAKE_WORKER = bundled(join(import.meta.dirname, 'fake-worker.ts'));
const ACCESS_TASK = new URL('./fake-access-task.js', import.meta.url);

export interface Line {
  level: string;
  message: string;
  fields: LogFields;
}

export function recordingLogger(): { logger: Logger; lines: Line[] } {
  const lines: Line[] = [];
  const write =
    (level: string) =>
    (message: string, fields: LogFields = {}) =>
      void lines.push({ level, message, fields });
  return { logger: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }, lines };
}

export function settings(endpoints: Endpoint[] = []): Settings {
  return testSettings({ endpoints, areEndpointsGiven: endpoints.length > 0 });
}

export interface TestNode extends RunningControl {
  lines: Line[];
  store: NodeStore;
}

/** `isShared`: another node may use the store; `isPeriodic`: the reconciler reads the store periodically. */
export async function startTestNode(
  options: { endpoints?: Record<string, unknown>[]; store?: NodeStore; isShared?: boolean; isPeriodic?: boolean } = {},
): Promise<TestNode> {
  const { logger, lines } = recordingLogger();
  const store = options.store ?? openMemoryStore();
  const endpoints = (options.endpoints ?? []).map((input) => parseEndpoint(input).endpoint);
  const workerUrls = { endpoint: FAKE_WORKER, session: FAKE_WORKER, relay: FAKE_WORKER, access: ACCESS_TASK, asking: ACCESS_TASK };
  const whole = settings(endpoints);
  whole.cluster.sync.enabled = options.isPeriodic ?? true;
  const running = await startControl({
    settings: whole,
    version: '0.0.0',
    store,
    bus: null,
    sealer: new Sealer({ secretKey: null, secretKeysOld: [] }),
    isStoreShared: options.isShared ?? false,
    workerUrls,
    logger,
    linesLost: () => ({ file: 0, terminal: 0 }),
  });
  return { ...running, lines, store };
}

export function context(changes: Partial<RequestContext> = {}): RequestContext {
  return { actor: 'tester', source: 'http', requestId: 'r', reason: null, expectedRevision: null, timeoutMs: patience(6_000), ...changes };
}

export interface About {
  peer: number;
  peers: number[];
  revision: number;
  maxConnectionSize: number;
  endpoints: string[];
}

export interface Client {
  socket: Socket;
  about(): Promise<About>;
  crash(): void;
  readonly isClosed: boolean;
}

export function client(port: number): Promise<Client> {
  return new Promise((resolve, reject) => {
    let isClosed = false;
    const socket = connect(port, '127.0.0.1');
    socket.on('error', reject);
    socket.on('close', () => {
      isClosed = true;
    });
    socket.on('connect', () => {
      resolve({
        socket,
        about: () =>
          new Promise((done, fail) => {
            socket.once('data', (bytes) => done(JSON.parse(bytes.toString()) as About));
            socket.once('close', () => fail(new Error('closed')));
            socket.write('about');
          }),
        crash: () => void socket.write('crash'),
        get isClosed() {
          return isClosed;
        },
      });
    });
  });
}

/** Waits until `check` is true. @throws Error after 6 seconds of an idle machine */
export async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const limitMs = patience(6_000);
  const end = performance.now() + limitMs;
  for (;;) {
    if (await check()) return;
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}
