/** The process's log: one JSON line an event in a rotating file, one readable line on a terminal (SPEC.md section 8). */

import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { type DestinationStream, multistream, pino } from 'pino';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import { Deadline } from '../kernel/deadline.ts';
import type { LogFields, Logger, LogLevel } from '../kernel/logger.ts';
import type { Settings } from '../settings/settings.ts';
import { formatLine } from './log-line.ts';

export interface OpenLog {
  logger: Logger;
  /** Writes out what is waiting, also the counts of bursts. */
  close(): Promise<void>;
}

/** How long the repetitions of one failure are only counted. */
export const BURST_MS = 5_000;
/** Different failures whose repetitions are counted at once; beyond it each is written. */
const BURSTS_MAX = 1_000;
/** How long close() waits for the file. */
const CLOSE_TIMEOUT_MS = 2_000;

/** Rotated files are called fluxmq.log.1, .2, …; the newest lines are always in fluxmq.log. */
function openFile(log: Settings['log']): RotatingFileStream {
  return createStream(basename(log.file), { path: dirname(log.file), size: `${log.maxSize}B`, rotate: log.maxFiles });
}

/**
 * Opens the log.
 * @param terminal where readable lines go; the process's standard output unless told otherwise
 * @throws when the file cannot be opened
 */
export async function openLogger(log: Settings['log'], terminal: NodeJS.WritableStream = process.stdout): Promise<OpenLog> {
  // Opened here first: the stream's own attempts on a folder that cannot be made never end.
  mkdirSync(dirname(log.file), { recursive: true });
  closeSync(openSync(log.file, 'a'));
  const file = openFile(log);
  await once(file, 'open');
  const isTerminal = 'isTTY' in terminal && terminal.isTTY === true;
  const readable: DestinationStream = { write: (line: string) => void terminal.write(formatLine(line, isTerminal)) };
  // A full disk must not end the broker: it is told once on the terminal, and the file goes on when it can.
  let isFileBroken = false;
  file.on('error', (error) => {
    if (!isFileBroken) terminal.write(`the log file cannot be written: ${error.message}\n`);
    isFileBroken = true;
  });
  const level = log.level;
  const streams = multistream([
    { level, stream: readable },
    { level, stream: file },
  ]);
  const root = pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    streams,
  );
  const bursts = new BurstFilter((atLevel, message, fields) => root[atLevel](fields, message));
  const write =
    (atLevel: LogLevel) =>
    (message: string, fields: LogFields = {}) =>
      bursts.write(atLevel, message, fields);
  return {
    logger: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    async close() {
      bursts.flush();
      const closed = once(file, 'close');
      file.end();
      await new Deadline(CLOSE_TIMEOUT_MS).reaches(closed);
    },
  };
}

type Sink = (level: LogLevel, message: string, fields: LogFields) => void;

interface Burst {
  level: LogLevel;
  message: string;
  repeated: number;
  timer: NodeJS.Timeout;
}

/** Writes the first of equal warnings and errors at once, and the others as one line with their count when the burst is over. */
export class BurstFilter {
  readonly #bursts = new Map<string, Burst>();
  readonly #sink: Sink;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  write(level: LogLevel, message: string, fields: LogFields): void {
    const canBurst = level === 'warn' || level === 'error';
    if (!canBurst || !this.#isRepetition(level, message)) this.#sink(level, message, fields);
  }

  /** Ends all bursts now. */
  flush(): void {
    for (const key of [...this.#bursts.keys()]) this.#end(key);
  }

  #isRepetition(level: LogLevel, message: string): boolean {
    const key = `${level} ${message}`;
    const burst = this.#bursts.get(key);
    if (burst !== undefined) {
      burst.repeated++;
      return true;
    }
    if (this.#bursts.size < BURSTS_MAX) {
      const timer = setTimeout(() => this.#end(key), BURST_MS);
      timer.unref();
      this.#bursts.set(key, { level, message, repeated: 0, timer });
    }
    return false;
  }

  #end(key: string): void {
    const burst = this.#bursts.get(key);
    if (burst === undefined) return;
    clearTimeout(burst.timer);
    this.#bursts.delete(key);
    if (burst.repeated > 0) this.#sink(burst.level, burst.message, { repeated: burst.repeated, withinMs: BURST_MS });
  }
}
