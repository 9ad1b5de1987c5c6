/** The command line as a user runs it: in a folder of its own, and where the process is the subject, in a process of its own. */

import { execFile, spawn } from 'node:child_process';
import { globalAgent as httpAgent } from 'node:http';
import { globalAgent as httpsAgent } from 'node:https';
import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import { runCommandLine } from '../../../src/cli/run.ts';
import { within } from '../../kit/until.ts';

export const ROOT = resolve(import.meta.dirname, '../../..');
const CLI = join(ROOT, 'dist/cli.js');
const ANSWER_MS = 20_000;

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** what is piped in */
  input?: string;
  /** of a command that moves much; 20 s unless told */
  timeoutMs?: number;
  /**
   * true: a process of the built command line, for what only it has: exit code, pipes, memory, and that nothing keeps it from ending. It costs
   * half a second of CPU time. Otherwise the same code runs here.
   */
  ownProcess?: boolean;
}

/** The environment without what a developer's shell may say about a broker. */
export function cleanEnvironment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith('FLUXMQ_') && name !== 'NO_COLOR');
  return { ...Object.fromEntries(entries), ...more };
}

/** Runs `fluxmq ARGS` to its end. */
export function fluxmq(args: string[], options: RunOptions = {}): Promise<Ended> {
  const { timeoutMs = ANSWER_MS, ownProcess = false } = options;
  const ended = ownProcess ? runProcess(args, options, timeoutMs) : runHere(args, options);
  return within(`end of fluxmq ${args.join(' ')}`, timeoutMs + 2000, ended);
}

function runProcess(args: string[], { cwd = '/', env = {}, input = '' }: RunOptions, timeoutMs: number): Promise<Ended> {
  return new Promise((settle) => {
    const child = execFile(
      process.execPath,
      [CLI, ...args],
      { cwd, env: cleanEnvironment(env), timeout: timeoutMs },
      (error, stdout, stderr) => {
        settle({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
      },
    );
    child.stdin?.end(input);
  });
}

async function runHere(args: string[], { cwd = '/', env = {}, input = '' }: RunOptions): Promise<Ended> {
  const out: Buffer[] = [];
  let stderr = '';
  const terminal = {
    env: cleanEnvironment(env),
    cwd,
    width: null,
    color: false,
    canAsk: false,
    isTyped: false,
    out: (text: string) => void out.push(Buffer.from(`${text}\n`)),
    write: async (bytes: Uint8Array) => void out.push(Buffer.from(bytes)),
    err: (text: string) => {
      stderr += `${text}\n`;
    },
    ask: async () => '',
    askHidden: async () => '',
    readInput: async () => input,
  };
  try {
    const code = await runCommandLine(args, terminal, async (where) => {
      const { readFluxmqEndpoints } = await import('../../../src/storage/fluxmq-import/read-fluxmq.ts');
      return readFluxmqEndpoints(where);
    });
    return { code, stdout: Buffer.concat(out).toString('utf8'), stderr };
  } finally {
    // as at the end of a process: no connection waits for the next command
    for (const { freeSockets } of [httpAgent, httpsAgent])
      for (const sockets of Object.values(freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }
}

/** `fluxmq` against one broker by way of the configuration in its folder. */
export function commandIn(folder: () => string): (line: string, options?: RunOptions) => Promise<Ended> {
  return (line, options = {}) => fluxmq(words(line), { cwd: folder(), ...options });
}

/** Splits at spaces; single quotes hold words together. */
export function words(line: string): string[] {
  return (line.match(/(?:'[^']*'|[^\s'])+/g) ?? []).map((word) => word.replaceAll("'", ''));
}

/** Standard output of a command that must succeed. */
export function printed(ended: Ended): string {
  expect(ended, ended.stderr).toMatchObject({ code: 0 });
  return ended.stdout;
}

/** The lines of a table as cells; columns are two spaces apart. */
export function cells(table: string): string[][] {
  return table
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().split(/ {2,}/));
}

/** Runs `fluxmq` on a terminal 80 columns wide (util-linux `script`), and answers what it asks. */
export function onTerminal(
  line: string,
  cwd: string,
  answer: string,
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number | null; output: string }> {
  const command = `stty cols 80 -echo; '${process.execPath}' '${CLI}' ${line}`;
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    cwd,
    env: cleanEnvironment({ TERM: 'xterm', ...env }),
    timeout: ANSWER_MS,
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (answer !== '' && output.includes('[y/N]')) {
      child.stdin.write(`${answer}\n`);
      answer = '';
    }
  });
  const ended = new Promise<{ code: number | null; output: string }>((settle) =>
    child.once('close', (code) => settle({ code, output: output.replaceAll('\r', '') })),
  );
  return within(`end of fluxmq ${line}`, ANSWER_MS + 2000, ended);
}
