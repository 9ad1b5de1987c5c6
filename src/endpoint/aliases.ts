/** Socket option names: Netty's spellings, and the options that Node cannot set. */

import { join, type Problems } from './problems.ts';

/** Our name of each option, by Netty's constant. */
const SERVER: Record<string, string> = { SO_BACKLOG: 'soBacklog', WORKER_GROUP_SIZE: 'workerGroupSize' };
const CHILD: Record<string, string> = {
  TCP_NODELAY: 'tcpNodelay',
  TCP_NO_DELAY: 'tcpNodelay',
  SO_KEEPALIVE: 'soKeepalive',
  SO_KEEP_ALIVE: 'soKeepalive',
  SO_LINGER: 'soLinger',
};

/** Netty options without a counterpart here. They are accepted, so that a configuration need not change, and a warning names them. */
const WITHOUT_EFFECT = new Set([
  'BOSS_GROUP_SIZE',
  'SO_RCVBUF',
  'SO_SNDBUF',
  'SO_REUSEADDR',
  'SO_REUSE_ADDR',
  'SO_REUSEPORT',
  'SO_TIMEOUT',
  'SO_BROADCAST',
  'IP_TOS',
  'ALLOCATOR',
  'RCVBUF_ALLOCATOR',
  'RECVBUF_ALLOCATOR',
  'MESSAGE_SIZE_ESTIMATOR',
  'CONNECT_TIMEOUT_MILLIS',
  'MAX_MESSAGES_PER_READ',
  'MAX_MESSAGES_PER_WRITE',
  'WRITE_SPIN_COUNT',
  'WRITE_BUFFER_HIGH_WATER_MARK',
  'WRITE_BUFFER_LOW_WATER_MARK',
  'WRITE_BUFFER_WATER_MARK',
  'ALLOW_HALF_CLOSURE',
  'AUTO_READ',
  'AUTO_CLOSE',
  'TCP_FASTOPEN',
  'TCP_FASTOPEN_CONNECT',
  'TCP_KEEPIDLE',
  'TCP_KEEPINTVL',
  'TCP_KEEPCNT',
  'TCP_CORK',
  'TCP_QUICKACK',
  'TCP_USER_TIMEOUT',
]);

/** soBacklog → SO_BACKLOG; SO_BACKLOG stays. */
function toConstant(name: string): string {
  return /^[A-Z0-9_]+$/.test(name) ? name : name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

export interface RenamedOptions {
  /** by our names; unknown options keep theirs and are refused later */
  options: Record<string, unknown>;
  /** our name → the name in the input, for the paths of problems */
  written: Map<string, string>;
}

/**
 * Gives every option of `serverOptions` or `childOptions` our name. An option without effect is left out with a warning. One option in two
 * spellings is a problem.
 */
export function renameOptions(
  key: 'serverOptions' | 'childOptions',
  input: Record<string, unknown>,
  problems: Problems,
  warnings: string[],
): RenamedOptions {
  const [mine, others, otherKey] = key === 'serverOptions' ? [SERVER, CHILD, 'childOptions'] : [CHILD, SERVER, 'serverOptions'];
  const written = new Map<string, string>();
  const options: [string, unknown][] = [];
  for (const [name, value] of Object.entries(input)) {
    const constant = toConstant(name);
    const ours = Object.hasOwn(mine, constant) ? mine[constant] : undefined;
    if (ours !== undefined) {
      if (written.has(ours)) problems.add(join(key, name), `is the same option as ${written.get(ours)}`);
      else {
        written.set(ours, name);
        options.push([ours, value]);
      }
    } else if (Object.hasOwn(others, constant)) warnings.push(`${join(key, name)} has no effect here: it belongs into ${otherKey}`);
    else if (WITHOUT_EFFECT.has(constant)) warnings.push(`${join(key, name)} has no effect: this platform does not let it be set`);
    else options.push([name, value]);
  }
  return { options: Object.fromEntries(options), written };
}
