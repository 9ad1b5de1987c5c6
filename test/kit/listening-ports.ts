/** The TCP ports on which one process listens, from /proc. Listeners of other processes do not count. */

import { readdir, readFile, readlink } from 'node:fs/promises';

/** States of /proc/net/tcp: 0A is LISTEN. */
const LISTEN = '0A';

/** Lines like `0: 0100007F:075B 00000000:0000 0A … inode`. */
export async function listeningPorts(pid: number): Promise<Set<number>> {
  const folder = `/proc/${pid}`;
  const descriptors = await readdir(`${folder}/fd`);
  // A descriptor that is closed in between is no listener.
  const targets = await Promise.all(descriptors.map((name) => readlink(`${folder}/fd/${name}`).catch(() => '')));
  const inodes = new Set(targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
  const ports = new Set<number>();
  for (const table of ['tcp', 'tcp6']) {
    for (const line of (await readFile(`${folder}/net/${table}`, 'utf8')).split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[3] === LISTEN && inodes.has(fields[9] ?? '')) ports.add(Number.parseInt(fields[1]?.split(':')[1] ?? '', 16));
    }
  }
  return ports;
}
