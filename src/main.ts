/** The roof: reads the command line and the configuration, starts the node, and ends the process when a signal asks for it. */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { checkConfiguration } from './check.ts';
import { type OpenLog, openLogger } from './control/log.ts';
import type { Endpoint } from './endpoint/endpoint.ts';
import { FluxError } from './kernel/errors.ts';
import type { Logger } from './kernel/logger.ts';
import { loadSettings } from './settings/load-settings.ts';
import type { Settings } from './settings/settings.ts';
import { formatIssues, SettingsError } from './settings/settings-error.ts';
import { type RunningNode, startNode } from './start-node.ts';

/** Below it, `ulimit -n` ends a busy broker before its configured limits do. */
const DESCRIPTORS_WANTED = 16_384;

/** Built files stand beside this one in dist/. */
const WORKER_URLS = {
  endpoint: new URL('./workers/endpoint-worker.js', import.meta.url),
  session: new URL('./workers/session-worker.js', import.meta.url),
  access: new URL('./workers/access-task.js', import.meta.url),
};
const ADMIN_STATIC = new URL('./static/', import.meta.url);

const say = (text: string) => process.stdout.write(`${text}\n`);
const complain = (text: string) => process.stderr.write(`${text}\n`);

function readVersion(): string {
  const about: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const version = typeof about === 'object' && about !== null && 'version' in about ? about.version : null;
  return typeof version === 'string' ? version : 'unknown';
}

/** Ends the process. Everything that must not be lost has been closed before. */
function exit(code: number): never {
  process.exit(code);
}

function readCommand(): { command: 'start' | 'check'; file: string | null } {
  const { values, positionals } = parseArgs({ options: { config: { type: 'string' } }, allowPositionals: true });
  const [command = 'start', ...surplus] = positionals;
  if ((command !== 'start' && command !== 'check') || surplus.length > 0)
    throw new FluxError('invalid', `unknown command: ${positionals.join(' ')}`);
  if (command === 'check' && values.config === undefined) throw new FluxError('invalid', 'check needs --config FILE');
  return { command, file: values.config ?? null };
}

/** Soft limit of open files; null where /proc does not tell. */
function descriptorLimit(): number | null {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null; // not Linux
  }
}

function warnAboutDescriptors(logger: Logger): void {
  const limit = descriptorLimit();
  if (limit !== null && limit < DESCRIPTORS_WANTED) {
    logger.warn(`only ${limit} files and sockets may be open at once: raise it with ulimit -n`, { wanted: DESCRIPTORS_WANTED });
  }
}

function schemeOf({ useWebsocket, sslConfig }: Endpoint): string {
  return (useWebsocket ? 'ws' : 'mqtt') + (sslConfig.enabled ? 's' : '');
}

function readyLine(node: RunningNode, version: string, settings: Settings): string {
  const views = node.control.list().filter(({ endpoint }) => node.control.activePorts().includes(endpoint.port));
  const endpoints = views.map(({ endpoint }) => `${schemeOf(endpoint)}://${endpoint.host}:${endpoint.port}`);
  const list = endpoints.length === 0 ? 'none' : endpoints.join(' ');
  return `fluxmq ${version} is ready: admin http${settings.http.ssl === null ? '' : 's'}://${settings.http.host}:${node.adminPort}, endpoints ${list}`;
}

/** Orderly end on the first signal, at once on the second. */
function handleSignals(starting: Promise<RunningNode>, log: OpenLog, settings: Settings): (code: number, why: string) => void {
  let isStopping = false;
  const end = async (code: number) => {
    const late = setTimeout(() => {
      complain(`the shutdown took longer than ${settings.shutdownTimeout} ms`);
      exit(1);
    }, settings.shutdownTimeout);
    try {
      const node = await starting;
      const inOrder = await node.stop();
      log.logger[inOrder ? 'info' : 'error'](inOrder ? 'stopped in order' : 'stopped, but not every thread ended in order');
    } catch (error) {
      log.logger.error('the shutdown failed', { reason: String(error) });
      code = 1;
    }
    await log.close();
    clearTimeout(late);
    exit(code);
  };
  const begin = (code: number, why: string) => {
    isStopping = true;
    log.logger.info(`stopping: ${why}`);
    void end(code);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // process.exit() would wait for the end of each thread.
      if (isStopping) process.kill(process.pid, 'SIGKILL');
      else begin(0, signal);
    });
  }
  return (code, why) => {
    if (!isStopping) begin(code, why);
  };
}

async function start(file: string | null): Promise<void> {
  const { settings, warnings } = loadSettings({ file, env: process.env, cwd: process.cwd() });
  const version = readVersion();
  const log = await openLogger(settings.log);
  const { logger } = log;
  for (const warning of warnings) logger.warn(`configuration: ${warning}`);
  warnAboutDescriptors(logger);
  const starting = startNode({ settings, version, logger, workerUrls: WORKER_URLS, adminStatic: ADMIN_STATIC });
  const endOnce = handleSignals(starting, log, settings);
  const onFault = (what: string) => (error: unknown) => {
    logger.error(`${what} in the main thread`, { reason: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    endOnce(1, what);
  };
  process.on('uncaughtException', onFault('uncaught error'));
  process.on('unhandledRejection', onFault('unhandled rejection'));
  try {
    const line = readyLine(await starting, version, settings);
    logger.info(line);
    if (settings.log.level === 'warn' || settings.log.level === 'error') say(line);
  } catch (error) {
    logger.error('fluxmq cannot start', { reason: error instanceof Error ? error.message : String(error) });
    await log.close();
    throw error;
  }
}

async function check(file: string | null): Promise<void> {
  const { problems, warnings } = await checkConfiguration(file, process.env, process.cwd());
  for (const warning of warnings) say(`warning: ${warning}`);
  for (const problem of problems) complain(`${file}: ${problem}`);
  if (problems.length > 0) exit(1);
  say(`${file} is valid`);
}

try {
  const { command, file } = readCommand();
  if (command === 'check') await check(file);
  else await start(file);
} catch (error) {
  if (error instanceof SettingsError) complain(formatIssues(error));
  else complain(`fluxmq: ${error instanceof Error ? error.message : String(error)}`);
  exit(1);
}
