/** aedes from npm behind a plain `net` server. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Peer } from './peer.ts';

function installed(): string | null {
  try {
    const file = join(dirname(createRequire(import.meta.url).resolve('aedes')), 'package.json');
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  } catch {
    return null;
  }
}

export const aedes: Peer = {
  name: 'aedes',
  version: installed,
  settings: { tcpNoDelay: 'off (its default)', persistence: 'in memory (its default)', other: 'default settings behind net.createServer' },
  refuses: ({ isWebsocket, workers }, { version }) => {
    if (version === 5) return 'no MQTT 5';
    if (isWebsocket) return 'needs another library for WebSocket';
    return workers > 1 ? 'one thread only' : null;
  },
  command: (_dir, port, needs) => ({
    command: process.execPath,
    args: [join(import.meta.dirname, 'aedes-server.ts'), String(port), needs.hasAuth ? 'auth' : 'open'],
  }),
};
