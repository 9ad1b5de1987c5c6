/** Debian's mosquitto with its default settings. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOGIN } from '../scenario.ts';
import { findProgram, makeCertificate, type Peer, versionOf } from './peer.ts';

export const mosquitto: Peer = {
  name: 'mosquitto',
  version: () => {
    const program = findProgram('mosquitto');
    return program === null ? null : versionOf(program, '-h');
  },
  settings: { tcpNoDelay: 'off (its default)', persistence: 'off (its default)', other: 'default settings, anonymous clients allowed' },
  refuses: ({ workers }) => (workers > 1 ? 'one thread only' : null),
  command: (dir, port, needs) => {
    const lines = [`listener ${port} 0.0.0.0`];
    // With WebSocket listeners only, this version reports that it has no listener.
    if (needs.isTls) {
      const { cert, key } = makeCertificate(dir);
      lines.push(`certfile ${cert}`, `keyfile ${key}`);
    }
    if (needs.isWebsocket) lines.push('protocol websockets', `listener 0 ${join(dir, 'mosquitto.socket')}`);
    if (needs.hasAuth) {
      const passwords = join(dir, 'passwords');
      const acl = join(dir, 'acl');
      writeFileSync(passwords, `${LOGIN.username}:${LOGIN.password}\n`, { mode: 0o600 });
      spawnSync(findProgram('mosquitto_passwd')!, ['-U', passwords], { stdio: 'ignore' });
      writeFileSync(acl, `user ${LOGIN.username}\ntopic readwrite bench/#\n`, { mode: 0o600 });
      lines.push('allow_anonymous false', `password_file ${passwords}`, `acl_file ${acl}`);
    } else lines.push('allow_anonymous true');
    // Started by root, mosquitto would switch to another user, who cannot read the folder.
    if (process.getuid?.() === 0) lines.push('user root');
    lines.push('log_type error');
    const file = join(dir, 'mosquitto.conf');
    writeFileSync(file, `${lines.join('\n')}\n`);
    return { command: findProgram('mosquitto')!, args: ['-c', file] };
  },
};
