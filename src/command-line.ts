/** The entry point of the command line: one process, one command. It loads nothing of the broker. */

import { createInterface } from 'node:readline/promises';
import type { FluxmqSource } from './cli/commands/import.ts';
import { Interrupted, readHiddenLine } from './cli/input/hidden-line.ts';
import { runCommandLine } from './cli/run.ts';
import type { Terminal } from './cli/terminal.ts';
import { stackOf } from './kernel/errors.ts';

/** Exit codes after an error of the program itself, and of a shell's child that Ctrl-C has ended. */
const EXIT_FAULT = 70;
const EXIT_INTERRUPTED = 130;

async function readInput(maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > maxBytes) throw new Error(`standard input is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size).toString('utf8');
}

async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
  try {
    return await Promise.race([lines.question(question), ended]);
  } finally {
    lines.close();
  }
}

function colored(): boolean {
  const { NO_COLOR, TERM } = process.env;
  return process.stdout.isTTY === true && (NO_COLOR === undefined || NO_COLOR === '') && TERM !== 'dumb';
}

const terminal: Terminal = {
  env: process.env,
  cwd: process.cwd(),
  width: process.stdout.isTTY === true ? process.stdout.columns : null,
  color: colored(),
  canAsk: process.stdin.isTTY === true && process.stderr.isTTY === true,
  isTyped: process.stdin.isTTY === true,
  out: (text) => process.stdout.write(`${text}\n`),
  write: (bytes) => new Promise((resolve) => process.stdout.write(bytes, () => resolve())),
  err: (text) => process.stderr.write(`${text}\n`),
  ask,
  askHidden: (question) => readHiddenLine(process.stdin, (text) => process.stderr.write(text), question),
  readInput,
};

// In `./fluxmq endpoint list | head -1` the reader closes the pipe early, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

/** Loads the database drivers on demand, because only one command needs them. */
const readFluxmq: FluxmqSource = async (where) => {
  const { readFluxmqEndpoints } = await import('./storage/fluxmq-import/read-fluxmq.ts');
  return readFluxmqEndpoints(where);
};

try {
  process.exitCode = await runCommandLine(process.argv.slice(2), terminal, readFluxmq);
} catch (error) {
  if (error instanceof Interrupted) process.exit(EXIT_INTERRUPTED);
  process.stderr.write(`fluxmq: ${stackOf(error)}\n`);
  process.exitCode = EXIT_FAULT;
}
