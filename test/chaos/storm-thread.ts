/** Thread of storm.ts: attempts connections at a steady rate, each up to CONNACK, and reports their results. */

import { parentPort, workerData } from 'node:worker_threads';
import { RawClient } from '../kit/raw-client.ts';
import { openSecure } from '../kit/transport.ts';
import type { StormReport, Target } from './storm.ts';

const { perSecond } = workerData as { perSecond: number };
const PATIENCE_MS = 10_000;
const TRIES_MAX = 20;
const FAULTS_MAX = 100;
const report: StormReport = { attempts: 0, connected: 0, elsewhere: 0, resetAtTheEnd: 0, failures: {}, faults: [] };
let targets: Target[] = (workerData as { targets: Target[] }).targets;
let isRunning = true;
let open = 0;
let due = 0;
let last = performance.now();

/** @returns null when it was accepted, otherwise the reason */
async function attempt({ transport, port, isSecure }: Target): Promise<string | null> {
  let client: RawClient | null = null;
  try {
    client = isSecure
      ? RawClient.over(await openSecure(transport, port, { rejectUnauthorized: false }), 5)
      : await RawClient.open(transport, port, 5);
    const { code } = await client.handshake({ clientId: '', properties: {} });
    return code === 0 ? null : `CONNACK 0x${code.toString(16)}`;
  } catch (error) {
    const { code, message, syscall } = (client?.transport.socket.errored ?? error) as NodeJS.ErrnoException;
    // An orderly end before the handshake is done has the code of a reset too, but no system call.
    return code === undefined || syscall === undefined ? message : code;
  } finally {
    client?.destroy();
  }
}

/**
 * Attempts one connection. While a port or a transport changes, a refused attempt is repeated at the other place: for a moment two
 * listeners of different kinds share the port. A reset is a fault at once, except at a port that is being given up.
 */
async function connect(): Promise<void> {
  open++;
  report.attempts++;
  const begun = targets;
  let why: string | null = null;
  let place = begun[0] as Target;
  let wasReset = false;
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const places = [...begun, ...targets];
    place = places[tries % places.length] as Target;
    why = await attempt(place);
    if (why === null && tries > 0) report.elsewhere++;
    // The move may also have begun during the attempt.
    const isMoving = new Set([...begun, ...targets].map((place) => JSON.stringify(place))).size > 1;
    // A client with TLS on a port without it, or the reverse, may be cut off in any way.
    const isOutdated = place.isSecure !== targets.at(-1)?.isSecure;
    const isGivenUp = place.port !== targets.at(-1)?.port;
    if (why === 'ECONNRESET' && isGivenUp) wasReset = true;
    if (why === null || (why === 'ECONNRESET' && !isOutdated && !isGivenUp) || !isMoving) break;
  }
  if (wasReset) report.resetAtTheEnd++;
  if (why === null) report.connected++;
  else {
    report.failures[why] = (report.failures[why] ?? 0) + 1;
    if (report.faults.length < FAULTS_MAX) report.faults.push({ why, place, at: Date.now() });
  }
  open--;
}

const pace = setInterval(() => {
  const now = performance.now();
  // Time in which the machine stood still is not made up for.
  due = Math.min(due + ((now - last) / 1000) * perSecond, perSecond / 10 + 1);
  last = now;
  while (isRunning && due >= 1) {
    due--;
    void connect();
  }
}, 1);

parentPort!.on('message', (message: { targets: Target[] } | 'stop') => {
  if (message !== 'stop') {
    targets = message.targets;
    parentPort!.postMessage('heard');
    return;
  }
  isRunning = false;
  const end = performance.now() + PATIENCE_MS;
  const check = setInterval(() => {
    if (open > 0 && performance.now() < end) return;
    clearInterval(check);
    clearInterval(pace);
    if (open > 0) report.failures['no end'] = open;
    parentPort!.postMessage(report);
    parentPort!.close();
  }, 10);
});
