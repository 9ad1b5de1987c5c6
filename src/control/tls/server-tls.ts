/** The TLS of a server on the main thread (the admin API): tested when it opens, and watched on disk like that of endpoints. */

import { defaultSslConfig } from '../../endpoint/defaults.ts';
import type { SslConfig } from '../../endpoint/endpoint.ts';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError, toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { type TlsMaterial, toTlsOptions } from '../../thread/tls-material.ts';
import { expiryWarnings, loadTls } from './load-tls.ts';
import { readSources } from './sources.ts';

const INTERVAL_MS = 10_000;
const DAY_MS = 86_400_000;
/** Names of the keys here, and their names in the settings. */
const NAMES: [RegExp, string][] = [
  [/sslConfig\.cert/g, 'http.ssl.crt'],
  [/sslConfig\.(\w+)/g, 'http.ssl.$1'],
];

export interface ServerTlsOptions {
  crt: string;
  /** null: the key is in the file of `crt` */
  key: string | null;
  /** signs client certificates; null: clients are asked for none */
  ca: string | null;
  logger: Logger;
  /** milliseconds */
  intervalMs?: number;
}

export class ServerTls {
  readonly #config: SslConfig;
  readonly #logger: Logger;
  readonly #intervalMs: number;
  #material: TlsMaterial;
  #refused = '';
  #toldOn = 0;
  #round: Promise<string[]> | null = null;
  #onChange: ((options: ReturnType<typeof toTlsOptions>) => void) | null = null;
  #timer: NodeJS.Timeout | null = null;

  private constructor(config: SslConfig, material: TlsMaterial, { logger, intervalMs = INTERVAL_MS }: ServerTlsOptions) {
    this.#config = config;
    this.#material = material;
    this.#logger = logger;
    this.#intervalMs = intervalMs;
  }

  /** @throws FluxError `unprocessable` with every problem, under the names of the settings */
  static async open(options: ServerTlsOptions): Promise<ServerTls> {
    const config = { ...defaultSslConfig(), enabled: true, cert: options.crt, key: options.key, ca: options.ca };
    try {
      return new ServerTls(config, (await loadTls(config)).material, options);
    } catch (error) {
      if (!(error instanceof FluxError)) throw error;
      const issues = error.issues.map(({ path, message }) =>
        path === 'sslConfig.passphrase'
          ? { path: 'http.ssl.key', message: 'is encrypted, which is not supported here' }
          : { path: rename(path), message: rename(message) },
      );
      const [first] = issues;
      const why = first === undefined ? rename(error.message) : `TLS cannot be used: ${first.path} ${first.message}`;
      throw new FluxError(error.kind, `Admin API: ${why}`, { issues, cause: error });
    }
  }

  /** Warnings about the certificate now. */
  get warnings(): string[] {
    return expiryWarnings(this.#material, wallNow());
  }

  /** Options for Node's TLS server. */
  get options(): ReturnType<typeof toTlsOptions> {
    return toTlsOptions(this.#material);
  }

  /** Options that ask clients for a certificate. One that nobody vouches for, or none, is no reason to refuse a client: it may log in otherwise. */
  get clientOptions(): { requestCert: boolean; rejectUnauthorized: false } {
    return { requestCert: this.#config.ca !== null, rejectUnauthorized: false };
  }

  /** Watches the files until close(), and hands over changed material that passed its test. */
  follow(onChange: (options: ReturnType<typeof toTlsOptions>) => void): void {
    this.#onChange = onChange;
    this.#timer = setInterval(() => void this.#begin(), this.#intervalMs);
  }

  /** Checks the files at once, with their present content. @returns a text for a change; none before follow() and after close() */
  async lookNow(): Promise<string[]> {
    const before = this.#round === null ? [] : await this.#round;
    return [...before, ...(await this.#begin())];
  }

  #begin(): Promise<string[]> {
    this.#round ??= this.#look().finally(() => {
      this.#round = null;
    });
    return this.#round;
  }

  close(): void {
    this.#onChange = null;
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  async #look(): Promise<string[]> {
    if (this.#onChange === null) return [];
    this.#warnOfExpiry();
    const sources = await readSources(this.#config);
    if (sources.digest === this.#material.digest || sources.digest === this.#refused) return [];
    try {
      const { material } = await loadTls(this.#config, sources);
      this.#onChange(toTlsOptions(material));
      this.#material = material;
      this.#toldOn = 0;
      const { subject, notAfter, fingerprint } = material.certificate;
      this.#logger.info('Admin API: the changed certificate is used from now on', { subject, notAfter, fingerprint });
      return ['Admin API: a new certificate'];
    } catch (error) {
      this.#refused = sources.digest;
      const reason = rename(toWireError(error).message);
      this.#logger.error('Admin API: the changed certificate is not used, the old one stays in use', { reason });
      return ['Admin API: the changed certificate is refused'];
    }
  }

  /** Warns once a day. */
  #warnOfExpiry(): void {
    const today = Math.floor(wallNow() / DAY_MS);
    if (this.#toldOn === today) return;
    const warnings = expiryWarnings(this.#material, wallNow());
    if (warnings.length > 0) this.#toldOn = today;
    for (const warning of warnings) this.#logger.warn(`Admin API: ${warning}`);
  }
}

function rename(text: string): string {
  return NAMES.reduce((renamed, [pattern, name]) => renamed.replace(pattern, name), text);
}
