/** Figures that must be equal before and after a soak: gauges of the broker, its file descriptors and its memory. */

import { readdir, readFile, readlink } from 'node:fs/promises';
import type { Broker } from '../../kit/broker.ts';

/** Gauges of clients and their data; zero once all clients have gone. */
const GAUGES =
  /^(fluxmq_[a-z_]*(?:connections_current|sessions_current|sessions_persistent|subscriptions_current|retained[a-z_]*current|queued[a-z_]*))\{?([^}]*)\}? (\S+)$/;

/** Each gauge that is not zero, as `name{labels} value`. */
export async function leftOver(broker: Broker): Promise<string[]> {
  const text = await (await fetch(`${broker.admin}/public/metrics`)).text();
  return text.split('\n').filter((line) => {
    const match = GAUGES.exec(line);
    return match !== null && Number(match[3]) !== 0 && !line.includes('_max');
  });
}

/** Resident memory of the broker, MB. */
export async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}

/** Open file descriptors of the broker, by kind (`socket`, `pipe`, `anon_inode:[eventpoll]`, or the file). */
export async function descriptors(pid: number): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const name of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${name}`).catch(() => null);
    const kind = target?.replace(/:\[\d+\]$/, '');
    if (kind !== undefined) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** Kinds with more descriptors than before, as `kind +n`. */
export function moreThan(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string[] {
  return [...after].flatMap(([kind, count]) => {
    const more = count - (before.get(kind) ?? 0);
    return more > 0 ? [`${kind} +${more}`] : [];
  });
}
