/** nats-server with its MQTT port, when its binary is on the PATH. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, type Peer, versionOf } from './peer.ts';

export const nats: Peer = {
  name: 'nats',
  version: () => {
    const program = findProgram('nats-server');
    return program === null ? null : versionOf(program, '--version');
  },
  settings: {
    tcpNoDelay: 'on (its default)',
    persistence: 'JetStream, as its MQTT asks for',
    other: 'default settings, GOMAXPROCS by CPU',
  },
  refuses: ({ isWebsocket, hasAuth, workers }, { version, qos }) => {
    if (version === 5) return 'no MQTT 5';
    if (qos === 2) return 'no QoS 2 before 2.10';
    if (isWebsocket || hasAuth) return 'not prepared here';
    return workers > 1 ? 'its threads cannot be chosen' : null;
  },
  command: (dir, port) => {
    const storage = join(dir, 'jetstream');
    mkdirSync(storage, { recursive: true });
    const file = join(dir, 'nats.conf');
    writeFileSync(
      file,
      `server_name: bench\nhost: 0.0.0.0\nport: -1\njetstream { store_dir: ${JSON.stringify(storage)} }\nmqtt { host: 0.0.0.0, port: ${port} }\n`,
    );
    return { command: findProgram('nats-server')!, args: ['-c', file] };
  },
};
