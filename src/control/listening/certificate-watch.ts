/** Watches certificate files in use: tries changed content, then uses or refuses it, and warns of expiry. */

import { wallNow } from '../../kernel/clock.ts';
import { Deadline } from '../../kernel/deadline.ts';
import { toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { CertificateStatus } from '../contract/answers.ts';
import { expiryWarnings, loadTls } from '../tls/load-tls.ts';
import { hasFiles, readSources } from '../tls/sources.ts';
import type { EndpointRunner } from './endpoint-runner.ts';
import type { Runners } from './runners.ts';

const INTERVAL_MS = 10_000;
const DAY_MS = 86_400_000;
/** Time for the workers of one endpoint to take new material. */
const UPDATE_TIMEOUT_MS = 10_000;

export interface CertificateWatchOptions {
  runners: Runners;
  /** true while a change of this endpoint is under way: the watch leaves the endpoint alone */
  isLocked: (id: string) => boolean;
  logger: Logger;
  intervalMs?: number;
}

export class CertificateWatch {
  readonly #options: CertificateWatchOptions;
  readonly #timer: NodeJS.Timeout;
  /** refused content by endpoint: each is reported once */
  readonly #refused = new Map<string, { digest: string; reason: string }>();
  /** day of the last expiry warning by endpoint */
  readonly #toldOn = new Map<string, number>();
  #round: Promise<string[]> | null = null;
  #isClosed = false;

  constructor(options: CertificateWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#begin(), options.intervalMs ?? INTERVAL_MS);
  }

  #begin(): Promise<string[]> {
    this.#round ??= this.#look().finally(() => {
      this.#round = null;
    });
    return this.#round;
  }

  /** Checks at once, and sees the files as they are after the call. @returns a text for each endpoint with a change */
  async lookNow(): Promise<string[]> {
    const before = this.#round === null ? [] : await this.#round;
    return this.#isClosed ? before : [...before, ...(await this.#begin())];
  }

  /** Resolves when no check is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#round;
  }

  /** Null without TLS. */
  statusOf(runner: EndpointRunner | undefined): CertificateStatus | null {
    const tls = runner?.wanted?.tls ?? null;
    if (runner === undefined || tls === null) return null;
    return { ...tls.certificate, refused: this.#refused.get(runner.id)?.reason ?? null };
  }

  /** Checks one endpoint after the other: reading files is not urgent. */
  async #look(): Promise<string[]> {
    const { runners, isLocked, logger } = this.#options;
    const changed: string[] = [];
    const all = runners.all();
    for (const known of [this.#refused, this.#toldOn]) {
      for (const id of known.keys()) if ((runners.peek(id)?.wanted?.tls ?? null) === null) known.delete(id);
    }
    for (const runner of all) {
      if (runner.wanted === null || runner.wanted.tls === null) continue;
      this.#tellExpiry(runner);
      try {
        const what = isLocked(runner.id) ? null : await this.#follow(runner);
        if (what !== null) changed.push(`Endpoint ${runner.wanted.endpoint.port}: ${what}`);
      } catch (error) {
        logger.error(`Endpoint ${runner.wanted?.endpoint.port}: the changed certificate was not taken by every worker`, {
          endpoint: runner.id,
          reason: toWireError(error).message,
        });
      }
    }
    return changed;
  }

  /** @returns the change, or null. @throws FluxError when a worker does not take material that was found good; the worker is replaced */
  async #follow(runner: EndpointRunner): Promise<string | null> {
    const { isLocked, logger } = this.#options;
    const { wanted, id } = runner;
    if (wanted === null || wanted.tls === null || !hasFiles(wanted.endpoint.sslConfig)) return null;
    const { sslConfig, port } = wanted.endpoint;
    const sources = await readSources(sslConfig);
    if (sources.digest === wanted.tls.digest) {
      this.#refused.delete(id);
      return null;
    }
    if (sources.digest === this.#refused.get(id)?.digest) return null;
    const loaded = await loadTls(sslConfig, sources).catch((error: unknown) => toWireError(error).message);
    // A change came in between. Either the change has read the new files, or the next round reads them.
    if (runner.wanted !== wanted || isLocked(id)) return null;
    if (typeof loaded === 'string') {
      this.#refused.set(id, { digest: sources.digest, reason: loaded });
      logger.error(`Endpoint ${port}: the changed certificate is not used, the old one stays in use`, { endpoint: id, reason: loaded });
      return 'the changed certificate is refused';
    }
    this.#refused.delete(id);
    this.#toldOn.delete(id);
    await runner.update({ ...wanted, tls: loaded.material }, new Deadline(UPDATE_TIMEOUT_MS));
    const { subject, notAfter, fingerprint } = loaded.material.certificate;
    logger.info(`Endpoint ${port}: the changed certificate is used from now on`, { endpoint: id, subject, notAfter, fingerprint });
    return 'a new certificate';
  }

  /** Warns once a day. */
  #tellExpiry({ id, wanted }: EndpointRunner): void {
    const now = wallNow();
    const today = Math.floor(now / DAY_MS);
    if (wanted === null || wanted.tls === null || this.#toldOn.get(id) === today) return;
    const warnings = expiryWarnings(wanted.tls, now);
    if (warnings.length > 0) this.#toldOn.set(id, today);
    for (const warning of warnings) this.#options.logger.warn(`Endpoint ${wanted.endpoint.port}: ${warning}`, { endpoint: id });
  }
}
