/** Standard output as a target of log lines: a terminal, a pipe, a socket or a file, none of which may hold the main thread or end the process. */

import { constants, fstatSync, openSync, type Stats, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { LogTarget } from './line-sink.ts';

export interface Terminal {
  target: LogTarget;
  /** lines may have colours */
  isTerminal: boolean;
}

const FLAGS = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** @param fd 1 or 2 */
export function openTerminal(fd: 1 | 2): Terminal {
  const own = withoutWaiting(fd);
  const write = (bytes: Buffer): number => {
    try {
      return writeSync(own, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
      throw error;
    }
  };
  return { target: { write, close() {} }, isTerminal: isatty(fd) };
}

/**
 * A descriptor of the same pipe or terminal whose writes do not wait. It is opened anew: the flag of the inherited one belongs to every
 * process that has it. Only a socket, and what cannot be opened again, is changed itself, which Node does when its stream is made.
 */
function withoutWaiting(fd: 1 | 2): number {
  const about = statusOf(fd);
  if (about === null || about.isFile()) return fd;
  if (about.isFIFO() || about.isCharacterDevice()) {
    try {
      return openSync(`/proc/self/fd/${fd}`, FLAGS);
    } catch {
      // No /proc, no right to open it, or a pipe whose reader has gone.
    }
  }
  standardStream(fd);
  return fd;
}

function statusOf(fd: number): Stats | null {
  try {
    return fstatSync(fd);
  } catch {
    return null;
  }
}

/** Null when it cannot be made: a terminal that has gone. */
function standardStream(fd: 1 | 2): NodeJS.WriteStream | null {
  try {
    return fd === 1 ? process.stdout : process.stderr;
  } catch {
    return null;
  }
}

/** What else writes to the standard streams, threads and Node itself, does not end the process when they fail. */
export function guardStandardStreams(): void {
  for (const fd of [1, 2] as const) standardStream(fd)?.on('error', () => {});
}
