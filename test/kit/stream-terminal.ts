/** A stream that stands in for a terminal, as a target of log lines. */

import type { Writable } from 'node:stream';
import type { TerminalStream } from '../../src/control/log/terminal-target.ts';

export function streamTerminal(stream: Writable): TerminalStream {
  const write = (bytes: Buffer): number => {
    stream.write(bytes);
    return bytes.length;
  };
  return { target: { write, close() {} }, isTerminal: false };
}
