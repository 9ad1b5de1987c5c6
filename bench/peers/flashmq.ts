/** FlashMQ, when its binary is on the PATH. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, type Peer, versionOf } from './peer.ts';

export const flashmq: Peer = {
  name: 'flashmq',
  version: () => {
    const program = findProgram('flashmq');
    return program === null ? null : versionOf(program, '--version');
  },
  settings: { tcpNoDelay: 'on (its default)', persistence: 'at exit only', other: 'one thread, anonymous clients allowed' },
  refuses: ({ hasAuth, isTls }) => (hasAuth || isTls ? 'its password file or certificate is not prepared here' : null),
  command: (dir, port, needs) => {
    const storage = join(dir, 'storage');
    mkdirSync(storage, { recursive: true });
    const listen = `listen {\n  protocol ${needs.isWebsocket ? 'websockets' : 'mqtt'}\n  port ${port}\n  inet4_bind_address 0.0.0.0\n}\n`;
    const rest = `allow_anonymous true\nthread_count ${needs.workers}\nstorage_dir ${storage}\nlog_file ${join(dir, 'flashmq.log')}\nlog_level error\n`;
    const file = join(dir, 'flashmq.conf');
    writeFileSync(file, listen + rest);
    return { command: findProgram('flashmq')!, args: ['--config-file', file] };
  },
};
