/** Finds the broker's admin API and the login: from options, the environment, or the configuration file of the broker. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { messageOf } from '../../kernel/errors.ts';
import { textOf } from '../../kernel/input/file-text.ts';
import { usageFailure } from '../failure.ts';
import { readDuration } from '../input/duration.ts';
import type { Options } from '../option.ts';
import type { Terminal } from '../terminal.ts';

/** Address, login and time limit of a request. */
export interface ApiTarget {
  /** without a trailing slash */
  url: URL;
  /** value of the Authorization header; null: no login */
  authorization: string | null;
  /** PEM certificates to trust; null: the authorities of Node */
  ca: string | null;
  /** longest wait for an answer, milliseconds; the answer to a change may come a little later */
  deadlineMs: number;
  /** the text of `--timeout`, passed on to the broker; null when absent */
  timeout: string | null;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const TIMEOUT_MS_MAX = 300_000;
const SECRET_BYTES_MAX = 64 * 1024;

/** The admin API in the configuration. */
interface HttpSection {
  host: string;
  port: number;
  username: string;
  /** clear text; null when there is none, or only a hash */
  password: string | null;
  hasHash: boolean;
  /** the certificate file of an https server; null for http */
  certificate: string | null;
}

/**
 * @throws CommandFailure (usage) for an address or file that cannot be used
 */
export async function findTarget(options: Options, terminal: Terminal): Promise<ApiTarget> {
  const { env } = terminal;
  const written = options.text('api') ?? env['FLUXMQ_API'];
  if (written !== undefined && written !== '' && options.has('config'))
    throw usageFailure('give --api (or FLUXMQ_API) or --config, not both');
  const section = written === undefined || written === '' ? await readSection(options.text('config') ?? null, terminal) : null;
  const url = section === null ? parseUrl(written ?? '') : urlOf(section);
  const cacert = options.text('cacert') ?? env['FLUXMQ_API_CACERT'] ?? section?.certificate ?? undefined;
  if (cacert !== undefined && url.protocol !== 'https:') throw usageFailure(`--cacert is for https, and ${url.href} is not`);
  return {
    url,
    authorization: await authorize(options, terminal, section),
    ca: cacert === undefined ? null : readCertificates(cacert, terminal),
    ...readTimeout(options),
  };
}

function readTimeout(options: Options): Pick<ApiTarget, 'timeout' | 'deadlineMs'> {
  const timeout = options.text('timeout') ?? null;
  const timeoutMs = timeout === null ? DEFAULT_TIMEOUT_MS : readDuration('timeout', timeout);
  if (timeoutMs < 1 || timeoutMs > TIMEOUT_MS_MAX) throw usageFailure(`--timeout ${timeout}: expected 1ms to 5m`);
  return { timeout, deadlineMs: timeoutMs };
}

/** Parses `http://host:port`; the scheme is optional. */
function parseUrl(written: string): URL {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(written) ? written : `http://${written}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw usageFailure(`--api ${written}: expected an address such as http://127.0.0.1:18083`);
  }
  if (url.username !== '' || url.password !== '')
    throw usageFailure('--api holds a login: use --user and FLUXMQ_API_PASSWORD or --password-file');
  url.pathname = url.pathname.replace(/\/+$/, '');
  url.search = '';
  url.hash = '';
  return url;
}

function urlOf(section: HttpSection): URL {
  // A wildcard address is reached over the loopback address.
  const host = section.host === '0.0.0.0' ? '127.0.0.1' : section.host === '::' ? '::1' : section.host;
  const scheme = section.certificate === null ? 'http' : 'https';
  return parseUrl(`${scheme}://${host.includes(':') ? `[${host}]` : host}:${section.port}`);
}

/** Reads only the location of the admin API: the rest of the file may have problems. */
async function readSection(file: string | null, terminal: Terminal): Promise<HttpSection> {
  const fromEnvironment = ['HOST', 'PORT', 'USERNAME', 'PASSWORD'].some((key) => terminal.env[`FLUXMQ_HTTP_${key}`] !== undefined);
  const text = readConfig(file, terminal);
  let http: Record<string, unknown> = {};
  if (text !== null || fromEnvironment) {
    // Loaded on demand: most calls name the broker, or have no file.
    const { readHttpSection } = await import('./http-section.ts');
    http = readHttpSection(text ?? '', terminal.env);
  }
  const port = http['port'] ?? 18083;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw usageFailure(`the configuration does not name the port of the admin API (http.port: ${String(port)}): give --api`);
  }
  const password = typeof http['password'] === 'string' ? http['password'] : null;
  const hasHash = password?.startsWith('scrypt$') ?? false;
  const ssl = http['ssl'] as Record<string, unknown> | null | undefined;
  const certificate = ssl?.['crt'] ?? ssl?.['cert'];
  return {
    host: String(http['host'] ?? '127.0.0.1'),
    port,
    username: String(http['username'] ?? 'admin'),
    password: hasHash ? null : password,
    hasHash,
    certificate: typeof certificate === 'string' ? certificate : null,
  };
}

/** The text of the configuration; null when no file is named and the default file does not exist. */
function readConfig(file: string | null, terminal: Terminal): string | null {
  try {
    const { text, problem } = textOf(readFileSync(resolve(terminal.cwd, file ?? 'config.yaml')), false);
    if (problem !== null) throw new Error(problem);
    return text;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (file === null && code === 'ENOENT') return null;
    throw usageFailure(`${file ?? 'config.yaml'}: ${code === 'ENOENT' ? 'there is no such file' : message}`);
  }
}

/** Refuses a file without certificates: it would trust nothing, and the later TLS error would not say why. */
function readCertificates(file: string, terminal: Terminal): string {
  const text = file.includes('-----BEGIN') ? file : readText('cacert', file, terminal);
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw usageFailure(`--cacert ${file}: holds no certificate (PEM)`);
  return text;
}

function readText(option: string, file: string, terminal: Terminal): string {
  try {
    return readFileSync(resolve(terminal.cwd, file), 'utf8');
  } catch (error) {
    throw usageFailure(
      `--${option} ${file}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : messageOf(error)}`,
    );
  }
}

/**
 * Reads a secret from a file, or from standard input for `-`. Removes one newline at the end.
 * @throws CommandFailure (usage)
 */
export async function readSecret(option: string, file: string, terminal: Terminal): Promise<string> {
  const text = file === '-' ? await terminal.readInput(SECRET_BYTES_MAX) : readText(option, file, terminal);
  const secret = text.replace(/\r?\n$/, '');
  if (secret === '') throw usageFailure(`--${option} ${file}: is empty`);
  if (/[\r\n]/.test(secret)) throw usageFailure(`--${option} ${file}: holds more than one line`);
  return secret;
}

/** Builds the Authorization header. The configured password is sent only to the configured address. */
async function authorize(options: Options, terminal: Terminal, section: HttpSection | null): Promise<string | null> {
  const { env } = terminal;
  const tokenFile = options.text('token-file');
  const passwordFile = options.text('password-file');
  if (tokenFile !== undefined && passwordFile !== undefined) throw usageFailure('give --token-file or --password-file, not both');
  if (tokenFile !== undefined) return `Bearer ${await readSecret('token-file', tokenFile, terminal)}`;
  const username = options.text('user') ?? env['FLUXMQ_API_USER'] ?? section?.username ?? 'admin';
  if (username.includes(':')) throw usageFailure('a user name cannot contain a colon');
  const given = passwordFile === undefined ? env['FLUXMQ_API_PASSWORD'] : await readSecret('password-file', passwordFile, terminal);
  const token = env['FLUXMQ_API_TOKEN'];
  if ((given === undefined || given === '') && token !== undefined && token !== '') return `Bearer ${token}`;
  const isConfigured = section !== null && username === section.username;
  const password = given ?? (isConfigured ? section.password : null);
  if (password === null || password === '') {
    const why = section?.hasHash === true ? ': the configuration holds only its hash' : '';
    if (options.has('user') || section?.hasHash === true)
      throw usageFailure(`there is no password for ${username}${why}`, ['set FLUXMQ_API_PASSWORD or give --password-file']);
    return null;
  }
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}
