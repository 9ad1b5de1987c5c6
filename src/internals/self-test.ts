/** The self-test of a start: which undocumented pieces this Node lacks, and what the broker does without each of them. */

import net from 'node:net';
import { FluxError } from '../kernel/errors.ts';
import { lackingOf } from './bindings.ts';
import { lackingForBuffers } from './buffer-methods.ts';
import { bindSocket, lackingForPassing } from './socket-passing.ts';
import { lackingForHandles, relisten, serverHandleOf } from './tcp-handles.ts';
import { socketBelow } from './tls-sockets.ts';
import { lookForTransports, type WebsocketTransports } from './uws/load.ts';

/** A piece that this Node lacks. */
export interface LackingPiece {
  /** its name in Node */
  piece: string;
  /** a sentence: what is used instead, and what that costs */
  instead: string;
}

/** The result of the self-test. */
export interface NodeReport {
  /** `v22.12.0` */
  version: string;
  lacking: LackingPiece[];
  websocketTransports: WebsocketTransports;
}

const SOCKETS = 'connections use net sockets: more CPU time for each read and write';
const BACKLOG = 'a changed soBacklog applies only to sockets that are bound afterwards';
const BELOW = 'the socket below a TLS socket is found by its addresses: more CPU time for each handshake';
const VERDICT = 'TLS 1.2 clients whose certificate is refused are closed without an alert';
const BUFFERS = 'Buffer.toString() and Buffer.write() are used: more CPU time for each topic';

let report: NodeReport | null = null;

/**
 * Looks for every piece. Must run before a thread of the node starts; later calls return the same report.
 * @throws FluxError `internal` when this Node cannot run the broker: it names each missing piece that has no replacement
 */
export function testNode(): NodeReport {
  if (report !== null) return report;
  const needed = lackingForPassing();
  if (needed.length > 0) {
    const why = 'Node has no documented way to give a listening socket to a worker thread';
    const message = `this Node (${process.version}) cannot run fluxmq: it lacks ${needed.join(', ')}, and ${why}. Use Node 22 (22.12 or later) or Node 24 (24.11 or later)`;
    throw new FluxError('internal', message);
  }
  const all: readonly (readonly [string, readonly string[]])[] = [
    [SOCKETS, lackingForHandles()],
    ...lackingOfServers(),
    [BELOW, lackingBelow()],
    [VERDICT, lackingOf('tls_wrap', { 'TLSWrap.verifyError': 'function' })],
    [BUFFERS, lackingForBuffers().map((name) => `Buffer.${name}`)],
  ];
  const lacking = all.flatMap(([instead, pieces]) => pieces.map((piece) => ({ piece, instead })));
  report = { version: process.version, lacking, websocketTransports: lookForTransports() };
  return report;
}

/** Tests a server that listens on loopback during this call only. On a machine without loopback, the workers notice what is missing. */
function lackingOfServers(): [string, string[]][] {
  const server = net.createServer().on('error', () => {});
  try {
    server.listen(bindSocket('127.0.0.1', 0));
    const ofHandles = serverHandleOf(server) === null ? ['net.Server._handle.onconnection'] : [];
    const ofBacklog = relisten(server, 1) ? [] : ['net.Server._handle.listen'];
    return [
      [SOCKETS, ofHandles],
      [BACKLOG, ofBacklog],
    ];
  } catch {
    return [];
  } finally {
    server.close();
  }
}

function lackingBelow(): string[] {
  const tls = process.getBuiltinModule('node:tls');
  const raw = new net.Socket();
  const socket = new tls.TLSSocket(raw, { isServer: true, secureContext: tls.createSecureContext({ ca: [] }) });
  const isKnown = socketBelow(socket) === raw;
  socket.destroy();
  raw.destroy();
  return isKnown ? [] : ['TLSSocket._parent'];
}
