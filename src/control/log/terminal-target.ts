/** Standard output as a target of log lines. A terminal, pipe, socket or file must neither block the main thread nor end the process. */

import { constants, fstatSync, openSync, type Stats, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { LogTarget } from './line-sink.ts';

export interface TerminalStream {
  target: LogTarget;
  /** lines may have colours */
  isTerminal: boolean;
}

const FLAGS = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** @param fd 1 or 2 */
export function openTerminal(fd: 1 | 2): TerminalStream {
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
 * A descriptor of the same pipe or terminal whose writes do not block. It is opened again, because O_NONBLOCK on the inherited descriptor
 * would change it for every process that shares it. Only a socket, or a descriptor that cannot be opened again, is changed itself; Node
 * does that when it makes the stream.
 */
function withoutWaiting(fd: 1 | 2): number {
  const about = statusOf(fd);
  if (about === null || about.isFile()) return fd;
  if (about.isFIFO() || about.isCharacterDevice()) {
    try {
      return openSync(`/proc/self/fd/${fd}`, FLAGS);
    } catch {
      // /proc is missing, permission is denied, or the pipe has lost its reader.
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

/** Null when the stream cannot be made because the terminal has gone. */
function standardStream(fd: 1 | 2): NodeJS.WriteStream | null {
  try {
    return fd === 1 ? process.stdout : process.stderr;
  } catch {
    return null;
  }
}

/** Keeps the process alive when other writers to the standard streams, threads and Node itself, fail. */
export function guardStandardStreams(): void {
  for (const fd of [1, 2] as const) standardStream(fd)?.on('error', () => {});
}
