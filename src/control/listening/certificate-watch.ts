/** Watches the certificate files in use: tests changed content, uses or refuses it, and warns of expiry. */

import { wallNow } from '../../kernel/clock.ts';
import { Deadline } from '../../kernel/deadline.ts';
import { toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { CertificateStatus } from '../contract/answers.ts';
import { expiryWarnings, loadTls } from '../tls/load-tls.ts';
import { hasFiles, readSources } from '../tls/sources.ts';
import type { EndpointSupervisor } from './endpoint-supervisor.ts';
import type { EndpointSupervisors } from './endpoint-supervisors.ts';

const INTERVAL_MS = 10_000;
const DAY_MS = 86_400_000;
/** Time for the workers of one endpoint to take new material. */
const UPDATE_TIMEOUT_MS = 10_000;

export interface CertificateWatchOptions {
  supervisors: EndpointSupervisors;
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

  /** Checks all files at once, with their present content. @returns a text for each endpoint with a change */
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
  statusOf(supervisor: EndpointSupervisor | undefined): CertificateStatus | null {
    const tls = supervisor?.wanted?.tls ?? null;
    if (supervisor === undefined || tls === null) return null;
    return { ...tls.certificate, refused: this.#refused.get(supervisor.id)?.reason ?? null };
  }

  /** Checks one endpoint after the other: reading files is not urgent. */
  async #look(): Promise<string[]> {
    const { supervisors, isLocked, logger } = this.#options;
    const changed: string[] = [];
    const all = supervisors.all();
    for (const known of [this.#refused, this.#toldOn]) {
      for (const id of known.keys()) if ((supervisors.peek(id)?.wanted?.tls ?? null) === null) known.delete(id);
    }
    for (const supervisor of all) {
      if (supervisor.wanted === null || supervisor.wanted.tls === null) continue;
      this.#warnOfExpiry(supervisor);
      try {
        const what = isLocked(supervisor.id) ? null : await this.#follow(supervisor);
        if (what !== null) changed.push(`Endpoint ${supervisor.wanted.endpoint.port}: ${what}`);
      } catch (error) {
        logger.error(`Endpoint ${supervisor.wanted?.endpoint.port}: the changed certificate was not taken by every worker`, {
          endpoint: supervisor.id,
          reason: toWireError(error).message,
        });
      }
    }
    return changed;
  }

  /** @returns the change, or null. @throws FluxError when a worker does not take material that was found good; the worker is replaced */
  async #follow(supervisor: EndpointSupervisor): Promise<string | null> {
    const { isLocked, logger } = this.#options;
    const { wanted, id } = supervisor;
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
    if (supervisor.wanted !== wanted || isLocked(id)) return null;
    if (typeof loaded === 'string') {
      this.#refused.set(id, { digest: sources.digest, reason: loaded });
      logger.error(`Endpoint ${port}: the changed certificate is not used, the old one stays in use`, { endpoint: id, reason: loaded });
      return 'the changed certificate is refused';
    }
    this.#refused.delete(id);
    this.#toldOn.delete(id);
    await supervisor.update({ ...wanted, tls: loaded.material }, new Deadline(UPDATE_TIMEOUT_MS));
    const { subject, notAfter, fingerprint } = loaded.material.certificate;
    logger.info(`Endpoint ${port}: the changed certificate is used from now on`, { endpoint: id, subject, notAfter, fingerprint });
    return 'a new certificate';
  }

  /** Warns once a day. */
  #warnOfExpiry({ id, wanted }: EndpointSupervisor): void {
    const now = wallNow();
    const today = Math.floor(now / DAY_MS);
    if (wanted === null || wanted.tls === null || this.#toldOn.get(id) === today) return;
    const warnings = expiryWarnings(wanted.tls, now);
    if (warnings.length > 0) this.#toldOn.set(id, today);
    for (const warning of warnings) this.#options.logger.warn(`Endpoint ${wanted.endpoint.port}: ${warning}`, { endpoint: id });
  }
}
