/** Finds out by binding whether a port is free, and which process holds a port that is not. */

import { readdir, readFile, readlink } from 'node:fs/promises';
import { tryBind } from '../../internals/socket-passing.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import { bindFailure, portInUse } from '../../kernel/system/bind-failure.ts';

/** States of /proc/net/tcp: 0A is LISTEN. */
const LISTEN = '0A';
/** Longest search through the descriptors of all processes, ms. */
const OWNER_SEARCH_MS = 1_000;
/** Descriptors read at once. */
const BATCH = 64;

/**
 * Tries to bind host:port without sharing it. A listener with SO_REUSEPORT, for example of another broker of this user, makes this bind
 * fail, while a bind with SO_REUSEPORT would succeed silently. Probes of this and other processes do not disturb each other.
 * @param port 1..65535
 * @throws FluxError `port-in-use` (naming the process where the system tells), `unprocessable` (address not local, no permission, …)
 */
export async function probePort(host: string, port: number): Promise<void> {
  try {
    tryBind(host, port);
  } catch (error) {
    throw await explainBind(host, port, error);
  }
}

/** A failed bind as an answer; a port that is taken names the process that has it, where /proc shows it. */
export async function explainBind(host: string, port: number, cause: unknown): Promise<FluxError> {
  const failure = cause instanceof FluxError ? cause : bindFailure(host, port, cause);
  if (failure.kind !== 'port-in-use') return failure;
  return portInUse(port, await portOwner(port).catch(() => null), cause);
}

/** `name (pid n)` of the process that listens on a TCP port; null when none is found or visible. Linux only. */
export async function portOwner(port: number): Promise<string | null> {
  const inodes = await listeningInodes(port);
  if (inodes.size === 0) return null;
  const giveUpAt = steadyNow() + OWNER_SEARCH_MS;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    if (steadyNow() > giveUpAt) return null;
    if (await holdsOne(pid, inodes)) {
      if (Number(pid) === process.pid) return 'this broker itself';
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?');
      return `${name.trim()} (pid ${pid})`;
    }
  }
  return null;
}

/** Socket inodes that listen on the port, from lines like `0: 0100007F:075B 00000000:0000 0A … inode`. */
async function listeningInodes(port: number): Promise<Set<string>> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = new Set<string>();
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(file, 'utf8').catch(() => '');
    for (const line of text.split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(suffix) === true && fields[3] === LISTEN && fields[9] !== undefined) inodes.add(fields[9]);
    }
  }
  return inodes;
}

async function holdsOne(pid: string, inodes: Set<string>): Promise<boolean> {
  // The descriptors of other users' processes are unreadable, which is not an error.
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (let from = 0; from < descriptors.length; from += BATCH) {
    const batch = descriptors.slice(from, from + BATCH);
    const targets = await Promise.all(batch.map((descriptor) => readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')));
    if (targets.some((target) => inodes.has(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? ''))) return true;
  }
  return false;
}
