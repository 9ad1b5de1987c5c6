/** The program around a node: reads the command line and the configuration, starts the node, and ends the process on a signal. */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { checkConfiguration } from './check.ts';
import { type OpenLog, openLogger } from './control/log/log.ts';
import { guardStandardStreams } from './control/log/terminal-target.ts';
import type { Endpoint } from './endpoint/endpoint.ts';
import { FluxError, messageOf, stackOf } from './kernel/errors.ts';
import type { Logger } from './kernel/logger.ts';
import { descriptorLimit } from './kernel/system/descriptors.ts';
import { exampleSettings, examplesOf } from './settings/example-passwords.ts';
import { loadSettings } from './settings/load-settings.ts';
import type { Settings } from './settings/settings.ts';
import { formatIssues, SettingsError } from './settings/settings-error.ts';
import type { Signals } from './signals.ts';
import { type RunningNode, startNode } from './start-node.ts';

/** With a lower `ulimit -n`, a busy broker runs out of descriptors before it reaches its configured limits. */
const DESCRIPTORS_WANTED = 16_384;

/** The built files. @param dist their folder */
const builtFiles = (dist: URL) => ({
  workerUrls: {
    endpoint: new URL('workers/endpoint-worker.js', dist),
    session: new URL('workers/session-worker.js', dist),
    relay: new URL('workers/relay-worker.js', dist),
    access: new URL('workers/access-task.js', dist),
    asking: new URL('workers/ask-task.js', dist),
  },
  adminStatic: new URL('static/', dist),
});

const say = (text: string) => process.stdout.write(`${text}\n`);
const complain = (text: string) => process.stderr.write(`${text}\n`);

function readVersion(dist: URL): string {
  const about: unknown = JSON.parse(readFileSync(new URL('../package.json', dist), 'utf8'));
  const version = typeof about === 'object' && about !== null && 'version' in about ? about.version : null;
  return typeof version === 'string' ? version : 'unknown';
}

/** Ends the process. The caller has closed everything that must not be lost. */
function exit(code: number): never {
  process.exit(code);
}

interface Command {
  command: 'start' | 'check';
  file: string | null;
  isQuarantine: boolean;
  isDiscarding: boolean;
}

function readCommand(): Command {
  const options = { config: { type: 'string' }, quarantine: { type: 'boolean' }, 'discard-local': { type: 'boolean' } } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [command = 'start', ...surplus] = positionals;
  if ((command !== 'start' && command !== 'check') || surplus.length > 0)
    throw new FluxError('invalid', `unknown command: ${positionals.join(' ')}`);
  if (command === 'check' && values.config === undefined) throw new FluxError('invalid', 'check needs --config FILE');
  const { quarantine: isQuarantine = false, 'discard-local': isDiscarding = false } = values;
  if (command === 'check' && isQuarantine) throw new FluxError('invalid', '--quarantine is for start');
  if (command === 'check' && isDiscarding) throw new FluxError('invalid', '--discard-local is for start');
  return { command, file: values.config ?? null, isQuarantine, isDiscarding };
}

function warnAboutDescriptors(logger: Logger): void {
  const limit = descriptorLimit();
  if (limit !== null && limit < DESCRIPTORS_WANTED) {
    logger.warn(`the process may open only ${limit} files and sockets: raise the limit with ulimit -n`, { wanted: DESCRIPTORS_WANTED });
  }
}

/** Checks the endpoints of the store, which are in use, even when the file has others. */
function warnAboutExamples({ control }: RunningNode, logger: Logger): void {
  for (const { endpoint } of control.reads.list()) {
    const paths = examplesOf(endpoint);
    if (paths.length > 0)
      logger.warn(`Endpoint ${endpoint.port}: ${paths.join(', ')}: an example from the documentation, which anybody knows`);
  }
}

function schemeOf({ useWebsocket, sslConfig }: Endpoint): string {
  return (useWebsocket ? 'ws' : 'mqtt') + (sslConfig.enabled ? 's' : '');
}

function readyLine(node: RunningNode, version: string, settings: Settings): string {
  const active = new Set(node.control.reads.activePorts());
  const views = node.control.reads.list().filter(({ endpoint }) => active.has(endpoint.port));
  const endpoints = views.map(({ endpoint }) => `${schemeOf(endpoint)}://${endpoint.host}:${endpoint.port}`);
  const list = endpoints.length === 0 ? 'none' : endpoints.join(' ');
  return `fluxmq ${version} is ready: admin http${settings.http.ssl === null ? '' : 's'}://${settings.http.host}:${node.adminPort}, endpoints ${list}`;
}

/** Shuts down in order on the first signal, and at once on the second. @returns a function that shuts down for another reason */
function endOnSignal(
  signals: Signals,
  starting: Promise<RunningNode>,
  log: OpenLog,
  settings: Settings,
): (code: number, why: string) => void {
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
      log.logger.error('the shutdown failed', { reason: messageOf(error) });
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
  signals.onEnd((signal) => {
    // process.exit() would wait for every thread to end.
    if (isStopping) process.kill(process.pid, 'SIGKILL');
    else begin(0, signal);
  });
  return (code, why) => {
    if (!isStopping) begin(code, why);
  };
}

/** SIGHUP reopens the log file and reads changed files, at any time. One log line reports the result. */
function reloadOnSignal(signals: Signals, starting: Promise<RunningNode>, log: OpenLog): void {
  let node: RunningNode | null = null;
  starting.then(
    (running) => {
      node = running;
    },
    () => {},
  );
  signals.onReload(async () => {
    log.reopen();
    try {
      const changed = node === null ? ['the node is starting and reads every file anyway'] : await node.reload();
      log.logger.info(`SIGHUP: the log file was reopened; ${changed.length === 0 ? 'no certificate has changed' : changed.join('; ')}`);
    } catch (error) {
      log.logger.error('SIGHUP: the log file was reopened; other files could not be read', { reason: messageOf(error) });
    }
  });
}

async function start({ file, isQuarantine, isDiscarding }: Command, dist: URL, signals: Signals): Promise<void> {
  const { settings, warnings } = loadSettings({ file, env: process.env, cwd: process.cwd() });
  const version = readVersion(dist);
  const log = openLogger(settings.log);
  const { logger } = log;
  for (const warning of warnings) logger.warn(`configuration: ${warning}`);
  warnAboutDescriptors(logger);
  for (const path of exampleSettings(settings))
    logger.warn(`Auth: ${path} is an example from the documentation, which anybody knows: change it`);
  const starting = startNode({
    settings,
    version,
    logger,
    linesLost: () => log.linesLost,
    isQuarantine,
    isDiscarding,
    ...builtFiles(dist),
  });
  const endOnce = endOnSignal(signals, starting, log, settings);
  reloadOnSignal(signals, starting, log);
  const onFault = (what: string) => (error: unknown) => {
    logger.error(`${what} in the main thread`, { reason: stackOf(error) });
    endOnce(1, what);
  };
  process.on('uncaughtException', onFault('uncaught error'));
  process.on('unhandledRejection', onFault('unhandled rejection'));
  try {
    const node = await starting;
    warnAboutExamples(node, logger);
    const line = readyLine(node, version, settings);
    logger.info(line);
    if (settings.log.level === 'warn' || settings.log.level === 'error') log.say(line);
  } catch (error) {
    logger.error('fluxmq cannot start', { reason: messageOf(error) });
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

/** @param dist folder of the built files */
export async function run(dist: URL, signals: Signals): Promise<void> {
  guardStandardStreams();
  try {
    const command = readCommand();
    if (command.command === 'check') await check(command.file);
    else await start(command, dist, signals);
  } catch (error) {
    if (error instanceof SettingsError) complain(formatIssues(error));
    else complain(`fluxmq: ${messageOf(error)}`);
    exit(1);
  }
}
