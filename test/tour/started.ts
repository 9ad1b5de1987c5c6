/** The broker as the README starts it (`./fluxmq start` in a folder), and curl as the README calls it. */

import type { ChildProcess } from 'node:child_process';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../src/kernel/errors.ts';
import { launch } from '../kit/mosquitto.ts';
import { until, within } from '../kit/until.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
const READY_MS = 20_000;
const CURL_MS = 20_000;

export interface Answer {
  code: number;
  message: string;
  data: Record<string, unknown>;
  error?: { kind: string; issues: { path: string; message: string }[] };
}

const folders = new Set<string>();
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** An empty folder from whose point of view `./fluxmq` is there, as in a fresh clone. */
export function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fluxmq-tour-'));
  folders.add(folder);
  symlinkSync(join(ROOT, 'fluxmq'), join(folder, 'fluxmq'));
  return folder;
}

/** Environment variables that replace built-in defaults: free ports, and no limits. */
export function environment(adminPort: number, endpoint: Record<string, unknown>): NodeJS.ProcessEnv {
  const endpoints = [{ host: '127.0.0.1', enableAuth: false, isDefault: true, ...endpoint }];
  return { ...process.env, FLUXMQ_HTTP_PORT: String(adminPort), FLUXMQ_ENDPOINTS: JSON.stringify(endpoints) };
}

/** A broker process that was started by its command. */
export class Started {
  readonly child: ChildProcess;
  /** everything it has printed */
  output = '';
  readonly #ended: Promise<number | null>;

  private constructor(child: ChildProcess) {
    this.child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    this.#ended = new Promise((resolve) => child.once('exit', resolve));
  }

  /** Runs the command, for example `./fluxmq start`, and waits until it says that it is ready. @throws Error with what it printed */
  static async run(command: string, folder: string, env: NodeJS.ProcessEnv): Promise<Started> {
    const [program = '', ...args] = command.trim().split(/\s+/);
    const started = new Started(launch(program, args, { cwd: folder, env }));
    try {
      await until(
        'ready',
        () => {
          if (started.child.exitCode !== null) throw new Error(`it ended with ${started.child.exitCode}`);
          return started.output.includes('is ready:');
        },
        READY_MS,
      );
    } catch (error) {
      started.child.kill('SIGKILL');
      throw new Error(`${command}: ${messageOf(error)}\n${started.output}`);
    }
    return started;
  }

  /** Waits for its end, whoever ended it. */
  ended(): Promise<number | null> {
    return within('end of the broker', 15_000, this.#ended);
  }

  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return this.ended();
  }

  /** kill -9. */
  kill(): Promise<number | null> {
    this.child.kill('SIGKILL');
    return this.ended();
  }
}

/** The admin API by way of curl. */
export class Curl {
  readonly #base: string;

  constructor(adminPort: number) {
    this.#base = `http://127.0.0.1:${adminPort}`;
  }

  /** GET without a body, else POST. The HTTP status and the `code` of the envelope must agree. */
  async call(path: string, body?: unknown, headers: string[] = []): Promise<Answer> {
    const args = ['-sS', '-w', '\n%{http_code}', ...headers.flatMap((header) => ['-H', header])];
    if (body !== undefined) args.push('-H', 'Content-Type: application/json', '-d', JSON.stringify(body));
    const { stdout } = await promisify(execFile)('curl', [...args, this.#base + path], { timeout: CURL_MS });
    const end = stdout.lastIndexOf('\n');
    const answer = JSON.parse(stdout.slice(0, end)) as Answer;
    if (answer.code !== Number(stdout.slice(end + 1))) throw new Error(`HTTP status and code differ: ${stdout}`);
    return answer;
  }

  /** A change that must succeed. @throws Error with the answer when it does not */
  async change(name: string, body: unknown): Promise<Record<string, unknown>> {
    const answer = await this.call(`/api/endpoints/${name}`, body);
    if (answer.code !== 200) throw new Error(`${name}: ${JSON.stringify(answer)}`);
    return answer.data;
  }
}
