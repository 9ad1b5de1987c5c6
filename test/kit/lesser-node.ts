/**
 * Loaded into every thread of a broker under test by `--import`: takes pieces away from Node that Node does not document. `LACKS` names them,
 * with commas between, as the self-test of the broker does. Node itself keeps what it needs. Production code does not know this file.
 */

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import tls from 'node:tls';

const lacks = (process.env['LACKS'] ?? '').split(',').filter((piece) => piece !== '');

type Binding = Record<string, unknown>;

/** The binding without the pieces: `name.piece` or `name.Class.method`. */
function without(name: string, binding: Binding): Binding {
  const less = { ...binding };
  for (const [owner, piece = '', method] of lacks.map((each) => each.split('.'))) {
    if (owner !== name) continue;
    if (method === undefined) delete less[piece];
    else less[piece] = { prototype: {} };
  }
  return less;
}

const node = process as unknown as { binding: (name: string) => Binding };
const binding = node.binding.bind(process);
node.binding = (name) => without(name, binding(name));

if (lacks.includes('TLSSocket._parent')) {
  Object.defineProperty(tls.TLSSocket.prototype, '_parent', { get: () => null, set: () => undefined });
}

// Node asks for the verdict itself when the handshake is done. Before that, while it tells of keys, there is none.
if (lacks.includes('tls_wrap.TLSWrap.verifyError')) {
  const { prototype } = (binding('tls_wrap') as { TLSWrap: { prototype: Record<string, unknown> } }).TLSWrap;
  const { verifyError } = prototype;
  const emit = tls.Server.prototype.emit as (event: string, ...rest: unknown[]) => boolean;
  tls.Server.prototype.emit = function (event: string, ...rest: unknown[]): boolean {
    if (event === 'keylog') delete prototype['verifyError'];
    try {
      return emit.apply(this, [event, ...rest]);
    } finally {
      prototype['verifyError'] = verifyError;
    }
  };
}

// A machine for which the package has no binary.
if (lacks.includes('uWebSockets.js')) {
  const { existsSync } = fs;
  fs.existsSync = (path) => !/uws_\w+\.node$/.test(String(path)) && existsSync(path);
  syncBuiltinESMExports();
}

if (lacks.includes('net.Server._handle.listen')) {
  const listen = net.Server.prototype.listen as (...rest: unknown[]) => net.Server;
  net.Server.prototype.listen = function (this: net.Server, ...rest: unknown[]): net.Server {
    listen.apply(this, rest);
    const { _handle: handle } = this as unknown as { _handle: object | null };
    if (handle) Object.defineProperty(handle, 'listen', { value: undefined });
    return this;
  };
}

// toString() reads by this method, so it gets a private one.
if (lacks.includes('Buffer.latin1Slice')) {
  const { latin1Slice, toString: readAs } = Buffer.prototype;
  Reflect.deleteProperty(Buffer.prototype, 'latin1Slice');
  Buffer.prototype.toString = function (encoding?: BufferEncoding, start?: number, end?: number): string {
    if (encoding === 'latin1') return latin1Slice.call(this, start, end);
    return encoding === undefined ? readAs.call(this) : readAs.call(this, encoding, start, end);
  };
}
