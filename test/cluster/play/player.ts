/** One broker of `npm run cluster`: in a process group of its own, so that a Ctrl-C is not a second signal for it, and started again when it was killed. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { sleep, until } from '../../kit/until.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const READY_MS = 60_000;
/** Longer than shutdownTimeout. */
const STOP_MS = 15_000;
const PAUSE_MS = 5_000;

export interface PlayerOptions {
  name: string;
  /** of its listeners */
  address: string;
  adminPort: number;
  folder: string;
  /** sections of the configuration beside `node`, `http` and `log` */
  config: Record<string, unknown>;
  say: (text: string) => void;
}

export class Player {
  readonly options: PlayerOptions;
  readonly #folder: string;
  #child: ChildProcess | null = null;
  #isStopping = false;

  constructor(options: PlayerOptions) {
    const { name, address, adminPort, folder, config } = options;
    this.options = options;
    this.#folder = join(folder, name);
    mkdirSync(this.#folder);
    const own = { node: { name, bindAddress: address }, http: { port: adminPort }, log: { file: join(this.#folder, 'fluxmq.log') } };
    // JSON is YAML.
    writeFileSync(join(this.#folder, 'config.yaml'), JSON.stringify({ ...own, ...config }, null, 2));
  }

  get admin(): string {
    return `http://127.0.0.1:${this.options.adminPort}`;
  }

  /** @throws Error with its own words when it is not ready in time */
  async start(): Promise<void> {
    const output = join(this.#folder, 'output.log');
    const log = openSync(output, 'a');
    const broker = [process.execPath, join(ROOT, 'dist/main.js'), 'start', '--config', 'config.yaml'];
    // It dies with this process, however that ends.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...broker], {
      cwd: this.#folder,
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child = child;
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
    const isReady = async () => hasEnded() || (await fetch(`${this.admin}/health`, { signal: AbortSignal.timeout(2_000) })).ok;
    await until(`${this.options.name} is ready`, isReady, READY_MS, 50).catch((error: Error) => this.#fail(error.message, output));
    if (hasEnded()) this.#fail('it ended', output);
    child.once('exit', (code, signal) => void this.#again(code, signal));
  }

  /** SIGTERM, and its end. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<boolean>((done) => child.once('exit', () => done(true)));
    child.kill('SIGTERM');
    if (!(await Promise.race([ended, sleep(STOP_MS).then(() => false)]))) child.kill('SIGKILL');
  }

  async #again(code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    if (this.#isStopping) return;
    const { name, say } = this.options;
    say(`${name} has ended (${signal ?? code}); it is started again in ${PAUSE_MS / 1000} s`);
    await sleep(PAUSE_MS);
    if (this.#isStopping) return;
    await this.start().then(
      () => say(`${name} is back`),
      (error: Error) => say(error.message),
    );
  }

  #fail(why: string, output: string): never {
    throw new Error(`${this.options.name}: ${why}\n${readFileSync(output, 'utf8').slice(-2000)}`);
  }
}
