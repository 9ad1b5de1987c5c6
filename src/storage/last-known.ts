/**
 * The last known configuration: a file in the data folder that is replaced whole, and that a node reads when the store is away at its
 * start.
 */

import { mkdirSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { completeEndpoint } from '../endpoint/defaults.ts';
import { wallNow } from '../kernel/clock.ts';
import { FluxError, messageOf } from '../kernel/errors.ts';
import type { StoreChange, StoredEndpoint, StoreSnapshot } from './endpoint-store.ts';

const FILE = 'last-known.json';
const VERSION = 1;

interface Content {
  version: number;
  source: string;
  /** ISO 8601 */
  savedAt: string;
  revision: number;
  endpoints: StoredEndpoint[];
}

/** The content that was last read from a store or written to it: in memory and, soon afterwards, in the file. */
export class LastKnown {
  readonly #dataPath: string;
  readonly #source: string;
  readonly #onFailure: (reason: string) => void;
  #revision = 0;
  /** endpoints as JSON, so that a change serializes only what changed; null until this process has read the store */
  #byId: Map<string, { revision: number; text: string }> | null = null;
  /** true when no change up to #revision is missing */
  #isWhole = false;
  #isStale = false;
  #writing: Promise<void> | null = null;

  /**
   * @param dataPath created when missing
   * @param source names the store without its password; content of another store is ignored
   * @param onFailure called with the reason when the file cannot be written
   */
  constructor(dataPath: string, source: string, onFailure: (reason: string) => void) {
    mkdirSync(dataPath, { recursive: true, mode: 0o700 });
    this.#dataPath = dataPath;
    this.#source = source;
    this.#onFailure = onFailure;
  }

  /**
   * The content that an earlier process left, and its time; null when the file has nothing about this store.
   * @param why the reason why it is needed, for the error message
   * @throws FluxError `unavailable` when the file is damaged
   */
  read(why: string): { snapshot: StoreSnapshot; savedAt: string } | null {
    const path = join(this.#dataPath, FILE);
    try {
      const { version, source, savedAt, revision, endpoints } = JSON.parse(readFileSync(path, 'utf8')) as Content;
      if (version !== VERSION || source !== this.#source) return null;
      const complete = endpoints.map((stored) => ({ endpoint: completeEndpoint(stored.endpoint), revision: stored.revision }));
      return { snapshot: { revision, endpoints: complete, pending: [] }, savedAt };
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
      throw new FluxError('unavailable', `${why}; and the last known configuration ${path} cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Takes over what was read from the store. */
  loaded({ revision, endpoints }: StoreSnapshot): void {
    if (this.#isWhole && revision === this.#revision) return;
    this.#isWhole = true;
    const old = revision > this.#revision ? this.#byId : null;
    this.#revision = revision;
    this.#byId = new Map(
      endpoints.map((stored) => {
        const known = old?.get(stored.endpoint.id);
        return [stored.endpoint.id, known?.revision === stored.revision ? known : toEntry(stored)];
      }),
    );
    this.#write();
  }

  /** Takes over a commit to the store. */
  committed(changes: StoreChange[], revision: number): void {
    if (this.#byId === null || revision <= this.#revision) return;
    // Other nodes committed in between; the next load brings their changes.
    if (revision !== this.#revision + 1) this.#isWhole = false;
    this.#revision = revision;
    for (const change of changes) {
      if (change.kind === 'put') this.#byId.set(change.endpoint.id, toEntry({ endpoint: change.endpoint, revision }));
      else this.#byId.delete(change.id);
    }
    this.#write();
  }

  /** Resolves when everything so far is in the file, or could not be written. */
  async flush(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  /** Writes in the background. Changes during a write are written together by the next one. */
  #write(): void {
    this.#isStale = true;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = null;
    });
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#isStale) {
        this.#isStale = false;
        const about = { version: VERSION, source: this.#source, savedAt: new Date(wallNow()).toISOString(), revision: this.#revision };
        const endpoints = this.#byId === null ? [] : [...this.#byId.values()].map(({ text }) => text);
        await this.#replace(`${JSON.stringify(about).slice(0, -1)},"endpoints":[${endpoints.join(',')}]}`);
      }
    } catch (error) {
      this.#onFailure(messageOf(error));
    }
  }

  async #replace(text: string): Promise<void> {
    const path = join(this.#dataPath, FILE);
    // The file holds password hashes.
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    const folder = await open(this.#dataPath, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

function toEntry(stored: StoredEndpoint): { revision: number; text: string } {
  return { revision: stored.revision, text: JSON.stringify(stored) };
}
