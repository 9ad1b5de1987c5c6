/** File descriptors: how many the process may open, and how many of them its clients leave for files, threads and the admin API. */

import { readFileSync } from 'node:fs';

/** Share of all descriptors that clients leave free, and its bounds. */
const RESERVED_PART = 1 / 8;
const RESERVED_MIN = 24;
const RESERVED_MAX = 4096;
/** Share of the reserve that sockets of the admin API may take. */
const ADMIN_PART = 5 / 6;

/** Soft limit of open files (`ulimit -n`); null where /proc has none, or while no file can be opened. */
export function descriptorLimit(): number | null {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null;
  }
}

/**
 * The descriptor from which on the socket of a client is closed. The kernel gives out the lowest free number, so a number shows how many
 * are in use.
 */
export function clientDescriptorsMax(limit: number): number {
  return limit - reservedOf(limit);
}

/** Sockets that the admin API may hold, `most` at best. */
export function adminSocketsMax(limit: number | null, most: number): number {
  return limit === null ? most : Math.min(most, Math.floor(reservedOf(limit) * ADMIN_PART));
}

function reservedOf(limit: number): number {
  return Math.min(RESERVED_MAX, Math.max(RESERVED_MIN, Math.floor(limit * RESERVED_PART)));
}
