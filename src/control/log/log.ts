/** The log of the process: a JSON line for each event in a rotating file, a readable line on a terminal (docs/metrics-and-logs.md). */

import { pino } from 'pino';
import { wallNow } from '../../kernel/clock.ts';
import type { LogFields, Logger, LogLevel } from '../../kernel/logger.ts';
import type { Settings } from '../../settings/settings.ts';
import { BurstFilter } from './bursts.ts';
import { FileTarget } from './file-target.ts';
import { LineSink } from './line-sink.ts';
import { formatLine } from './log-line.ts';
import { openTerminal, type TerminalStream } from './terminal-target.ts';

/** Lines lost since the start, by destination. */
export interface LinesLost {
  file: number;
  terminal: number;
}

export interface OpenLog {
  logger: Logger;
  readonly linesLost: LinesLost;
  /** Reopens the log file by its name before the next line, because logrotate has moved the old file away. */
  reopen(): void;
  /** Writes a line to the terminal only. */
  say(text: string): void;
  /** Writes out the waiting lines and the counts of bursts. */
  close(): Promise<void>;
}

/** Longest wait of close() for the file and the terminal. */
const CLOSE_TIMEOUT_MS = 1_000;

/**
 * Opens the log. A later failure of the file or terminal never ends the process: lines wait in bounded memory; lines beyond it are lost
 * and counted.
 * @param terminal destination of readable lines; default: standard output of the process
 * @throws when the file cannot be opened for a reason that does not pass by itself
 */
export function openLogger(log: Settings['log'], terminal: TerminalStream = openTerminal(1)): OpenLog {
  const { level, file: path, maxSize, maxFiles } = log;
  const target = new FileTarget({
    file: path,
    maxSize,
    maxFiles,
    onNewFile: () => file.restart(),
    onStuck: (reason) =>
      logger.error('the log file was moved and no new one can be made: lines still go to the old one', { file: path, reason }),
  });
  target.prepare();
  const readable = (json: string) => formatLine(json, terminal.isTerminal);
  const file: LineSink = new LineSink(target, {
    missing: missingLine,
    onFailed: (reason) => logger.error('the log file cannot be written', { file: path, reason }),
    onRecovered: (lost) => logger.warn('the log file can be written again', { file: path, lost }),
  });
  const output: LineSink = new LineSink(terminal.target, {
    missing: (lost, reason) => readable(missingLine(lost, reason)),
    onFailed: (reason) => logger.warn('standard output cannot be written', { reason }),
    onRecovered: (lost) => logger.warn('standard output can be written again', { lost }),
  });
  const root = pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
    {
      write(line: string) {
        output.write(readable(line));
        file.write(line);
      },
    },
  );
  const bursts = new BurstFilter((atLevel, message, fields) => root[atLevel](fields, message));
  const write =
    (atLevel: LogLevel) =>
    (message: string, fields: LogFields = {}) =>
      bursts.write(atLevel, message, fields);
  const logger: Logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  return {
    logger,
    get linesLost() {
      return { file: file.lost, terminal: output.lost };
    },
    reopen: () => target.reopen(),
    say: (text) => output.write(`${text}\n`),
    async close() {
      bursts.flush();
      await Promise.all([file.close(CLOSE_TIMEOUT_MS), output.close(CLOSE_TIMEOUT_MS)]);
    },
  };
}

function missingLine(lost: number, reason: string): string {
  return `${JSON.stringify({ level: 'warn', time: new Date(wallNow()).toISOString(), lost, reason, msg: 'log lines are missing here' })}\n`;
}
