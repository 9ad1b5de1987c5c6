/** A network namespace for a script: addresses other than loopback, without any other hosts. */

import { spawn, spawnSync } from 'node:child_process';

/** How to enter a new network: as root, or as an ordinary user where the kernel allows it. */
const WAYS = [['-n'], ['-r', '-n']];

/** The addresses inside runInNetwork(); both of `six` are in one /64. */
export const ADDRESSES = { first: '10.9.0.1', second: '10.9.0.2', six: ['fd00:9::1', 'fd00:9::2'], otherSix: 'fd00:9:0:1::1' } as const;

const SETUP = [
  'ip link set lo up',
  ...[ADDRESSES.first, ADDRESSES.second].map((address) => `ip addr add ${address}/32 dev lo`),
  ...[...ADDRESSES.six, ADDRESSES.otherSix].map((address) => `ip -6 addr add ${address}/128 dev lo nodad`),
].join(' && ');

/** The way that works here; null when this user lacks the rights or the tools are missing. */
export function networkMaker(): string[] | null {
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
  return WAYS.find((way) => spawnSync('unshare', [...way, 'sh', '-c', SETUP], { env }).status === 0) ?? null;
}

/** Runs a TypeScript file in a new network. @returns its output and exit code; -1 after a kill at `timeoutMs` */
export async function runInNetwork(way: readonly string[], script: string, timeoutMs: number): Promise<{ code: number; output: string }> {
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
  const child = spawn('unshare', [...way, 'sh', '-c', `${SETUP} && exec "$0" --no-warnings "$1"`, process.execPath, script], { env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? -1)));
  clearTimeout(timer);
  return { code, output };
}
