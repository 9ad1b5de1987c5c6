/** Loads uWebSockets.js and its guard into this thread: both or neither. */

import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { messageOf } from '../../kernel/errors.ts';
import type { Guard, Uws } from './contract.ts';
import { lookForUws, type Machine, thisMachine } from './look.ts';

/** uWebSockets.js in this thread, or why it cannot be used: a sentence without its full stop. */
export type LoadedUws = { available: true; uws: Uws; guard: Guard } | { available: false; reason: string };

/** Bytes of an upgrade request's head, as Node's parser allows. The library reads its environment, which only main can change. */
const HEADERS_MAX = '16384';
const GUARD_PIECES = ['guard', 'dup', 'linger', 'noDelay', 'readable', 'peek', 'received', 'cookie', 'trace', 'current'] as const;
const APP_PIECES = ['ws', 'any', 'filter', 'adoptSocket', 'close'] as const;

const requireNative = createRequire(import.meta.url);

let loaded: LoadedUws | null = null;
let transports: WebsocketTransports | null = null;

/** Transports of WebSocket endpoints that this machine has, besides the built-in one. */
export interface WebsocketTransports {
  /** true: its files are there; else why it cannot be used */
  uws: true | string;
}

/** The transports, by their files: nothing is loaded into main. Must run in main before the first thread starts, which inherits the limits. */
export function lookForTransports(): WebsocketTransports {
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] ??= HEADERS_MAX;
  if (transports === null) {
    const found = lookForUws(thisMachine());
    transports = { uws: typeof found === 'string' ? found : (problemOfGuard(found.guard) ?? true) };
  }
  return transports;
}

/** uWebSockets.js and its guard, which ends its sockets with this thread. Loads them at the first call in a thread. Throws nothing. */
export function loadUws(): LoadedUws {
  loaded ??= loadFrom(thisMachine());
  return loaded;
}

/** As loadUws(), for another machine. */
export function loadFrom(machine: Machine): LoadedUws {
  try {
    const found = lookForUws(machine);
    if (typeof found === 'string') return { available: false, reason: found };
    const problem = problemOfGuard(found.guard);
    if (problem !== null) return { available: false, reason: problem };
    if (isMainThread) process.env['UWS_HTTP_MAX_HEADERS_SIZE'] ??= HEADERS_MAX;
    const uws = requireNative(found.uws) as Uws;
    const guard = requireNative(found.guard) as Guard;
    // Before the first application: from then on the end of the thread must not find its sockets open.
    guard.guard();
    const missing = missingOf(uws);
    return missing.length > 0 ? { available: false, reason: `its binary lacks ${missing.join(', ')}` } : { available: true, uws, guard };
  } catch (error) {
    return { available: false, reason: `its binary cannot be loaded: ${messageOf(error)}` };
  }
}

/** Loads the guard, which changes nothing in this thread until guard() is called, and tries it. */
function problemOfGuard(path: string): string | null {
  try {
    const guard = requireNative(path) as Partial<Guard>;
    const missing = GUARD_PIECES.filter((name) => typeof guard[name] !== 'function');
    if (missing.length > 0) return `its guard lacks ${missing.join(', ')}`;
    try {
      guard.dup?.(-1);
      return 'its guard takes a wrong descriptor';
    } catch (error) {
      return error instanceof TypeError ? null : `its guard does not work: ${messageOf(error)}`;
    }
  } catch (error) {
    return `its guard cannot be loaded: ${messageOf(error)}`;
  }
}

/** A first application, without sockets, has what the broker uses; most of it is not in the prototype of a documented class. */
function missingOf({ App, SSLApp }: Partial<Uws>): string[] {
  if (App === undefined || SSLApp === undefined) return ['App or SSLApp'];
  const app = App();
  const missing = APP_PIECES.filter((name) => typeof app[name] !== 'function');
  if (!missing.includes('close')) app.close();
  return missing;
}
