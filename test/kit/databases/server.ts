/** A real database server for tests, with its own folder and port, that can be stopped, killed, frozen and restarted. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chownSync, closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../../src/kernel/errors.ts';
import { freePort } from '../free-port.ts';
import { uid, until, within } from '../until.ts';
import { copyInstalled, keepInstalled } from './installed.ts';

const execute = promisify(execFile);

export const PASSWORD = 'secret';

/** The differences between the servers. Programs run as `user` when the tests run as root, because the servers refuse to run as root. */
export interface ServerKind {
  name: string;
  user: string;
  /** name of the superuser account */
  username: string;
  urlScheme: string;
  /** the clauses that follow the name in CREATE DATABASE */
  databaseOptions: string;
  /** creates the data in `<folder>/data`: program and arguments */
  install(folder: string): string[];
  /** serves the data in the foreground: program and arguments */
  serve(folder: string, port: number, options: ServerOptions): string[];
  /** runs one statement in a database ('' = the server's own): program, arguments, environment */
  client(port: number, database: string, sql: string): { command: string[]; env: Record<string, string> };
  /** ends the server cleanly */
  stopSignal: NodeJS.Signals;
}

export interface ServerOptions {
  /**
   * Each commit waits for the disk. Without it, a commit survives a kill of the server but no crash of the machine, which no test causes.
   */
  isSynced?: boolean;
}

export interface DatabaseServer {
  readonly host: string;
  readonly port: number;
  /** the superuser account */
  readonly username: string;
  readonly password: string;
  /** `postgres://127.0.0.1:PORT/NAME` or `mysql://…`, without user and password */
  url(database: string): string;
  /** Creates an empty database with this name, or with a unique one. @returns its name */
  createDatabase(name?: string): Promise<string>;
  /** Runs SQL as the superuser; returns the output of the server's own client: one line per row, columns separated by tabs. */
  run(database: string, sql: string): Promise<string>;
  /** Ends the server cleanly; its data stay. */
  halt(): Promise<void>;
  /** Starts the server again after `halt` or `kill`, with the same data and port. */
  start(): Promise<void>;
  /** `halt` and `start`. */
  restart(): Promise<void>;
  /** Kills the server and all its processes with SIGKILL. */
  kill(): Promise<void>;
  /** Freezes the server: it neither answers nor closes a connection. */
  pause(): void;
  resume(): void;
  /** Ends the server for good and removes its folder. Idempotent. */
  stop(): Promise<void>;
}

const folders = new Set<string>();
const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) for (const pid of family(child)) signal(pid, 'SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Installs and starts a server. @throws Error with the server's log when it does not come up */
export async function startServer(kind: ServerKind, options: ServerOptions): Promise<DatabaseServer> {
  const folder = mkdtempSync(join(tmpdir(), `kit-${kind.name}-`));
  folders.add(folder);
  if (process.getuid?.() === 0) {
    const ids = await Promise.all(['-u', '-g'].map(async (flag) => Number((await execute('id', [flag, kind.user])).stdout)));
    chownSync(folder, ids[0]!, ids[1]!);
  }
  const install = kind.install(folder);
  if (!(await copyInstalled(kind.name, install, folder))) {
    const [program, ...args] = asUser(kind.user, install);
    await execute(program!, args, { cwd: folder, env: environment(folder) });
    await keepInstalled(kind.name, install, folder);
  }
  const server = new Server(kind, folder, await freePort(), options);
  await server.start();
  return server;
}

/** Gives each server a TMPDIR of its own: a starting MariaDB removes the temporary files of any other MariaDB in the same folder. */
function environment(folder: string): NodeJS.ProcessEnv {
  return { ...process.env, TMPDIR: folder };
}

/** Runs the command as another user when this one is root. The kernel ends the command when this process ends. */
function asUser(user: string, command: string[]): string[] {
  const identity = process.getuid?.() === 0 ? ['--reuid', user, '--regid', user, '--clear-groups'] : [];
  return ['setpriv', ...identity, '--pdeathsig', 'KILL', '--', ...command];
}

class Server implements DatabaseServer {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly username: string;
  readonly password = PASSWORD;
  readonly #kind: ServerKind;
  readonly #folder: string;
  readonly #options: ServerOptions;
  #child: ChildProcess | null = null;
  /** processes that `pause` has frozen */
  #paused: number[] = [];

  constructor(kind: ServerKind, folder: string, port: number, options: ServerOptions) {
    this.#options = options;
    this.#kind = kind;
    this.#folder = folder;
    this.port = port;
    this.username = kind.username;
  }

  url(database: string): string {
    return `${this.#kind.urlScheme}://${this.host}:${this.port}/${database}`;
  }

  async createDatabase(name = uid('db')): Promise<string> {
    await this.run('', `CREATE DATABASE ${name} ${this.#kind.databaseOptions}`);
    return name;
  }

  async run(database: string, sql: string): Promise<string> {
    const { command, env } = this.#kind.client(this.port, database, sql);
    const [program, ...args] = command;
    const { stdout } = await execute(program!, args, { env: { ...process.env, ...env }, timeout: 20_000 });
    return stdout.trim();
  }

  async start(): Promise<void> {
    // After a kill, helper processes may hold the data for a moment.
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#startOnce();
      } catch (error) {
        if (attempt === 5) throw error;
      }
    }
  }

  async halt(): Promise<void> {
    await this.#end(this.#kind.stopSignal);
  }

  async restart(): Promise<void> {
    await this.halt();
    await this.start();
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  pause(): void {
    if (this.#child === null) throw new Error(`${this.#kind.name} is not running`);
    // The parent first: it can then fork no process that would be missed.
    signal(this.#child.pid!, 'SIGSTOP');
    this.#paused = family(this.#child);
    for (const pid of this.#paused) signal(pid, 'SIGSTOP');
  }

  resume(): void {
    for (const pid of this.#paused.splice(0).reverse()) signal(pid, 'SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
    folders.delete(this.#folder);
  }

  async #startOnce(): Promise<void> {
    const logPath = join(this.#folder, 'server.log');
    const log = openSync(logPath, 'w');
    const [program, ...args] = asUser(this.#kind.user, this.#kind.serve(this.#folder, this.port, this.#options));
    const child = spawn(program!, args, { cwd: this.#folder, env: environment(this.#folder), stdio: ['ignore', log, log] });
    closeSync(log);
    children.add(child);
    this.#child = child;
    try {
      await until(
        `${this.#kind.name} on port ${this.port}`,
        async () => child.exitCode !== null || child.signalCode !== null || (await this.run('', 'SELECT 1')),
        30_000,
        50,
      );
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${this.#kind.name} ended`);
    } catch (error) {
      await this.kill();
      throw new Error(`${messageOf(error)}: ${readFileSync(logPath, 'utf8').slice(-2000)}`);
    }
  }

  async #end(how: NodeJS.Signals): Promise<void> {
    this.resume();
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
    const ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      if (hasEnded()) resolve();
    });
    const pids = how === 'SIGKILL' ? family(child) : [child.pid!];
    if (!hasEnded()) for (const pid of pids) signal(pid, how);
    await within(`end of ${this.#kind.name}`, 20_000, ended);
    children.delete(child);
  }
}

/** The server's process and its direct children: Postgres has one child for each connection. */
function family(child: ChildProcess): number[] {
  const pids = [child.pid!];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      // fields after the last ')': state, parent
      const fields = readFileSync(`/proc/${name}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ');
      if (Number(fields[1]) === child.pid) pids.push(Number(name));
    } catch (error) {
      // the process ended after the folder was read
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return pids;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
