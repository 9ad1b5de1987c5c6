/** The last known configuration, kept in the data folder beside the node: written whole and in one step, read when the store is away at the start. */

import { mkdirSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { completeEndpoint } from '../endpoint/defaults.ts';
import { wallNow } from '../kernel/clock.ts';
import { FluxError, messageOf } from '../kernel/errors.ts';
import type { StoreChange, StoredEndpoint, StoreSnapshot } from './contract.ts';

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

/** What was last read from a store or written to it, in memory and, soon afterwards, in the file. */
export class LastKnown {
  readonly #dataPath: string;
  readonly #source: string;
  readonly #onFailure: (reason: string) => void;
  #revision = 0;
  /** as JSON, so that a change does not cost the writing of all the others again; null: nothing has been read in this process */
  #byId: Map<string, { revision: number; text: string }> | null = null;
  /** nothing up to #revision is missing */
  #isWhole = false;
  #isStale = false;
  #writing: Promise<void> | null = null;

  /**
   * @param dataPath is made when it is missing
   * @param source names the store without its password: what was read from another one is not used
   * @param onFailure told when the file cannot be written
   */
  constructor(dataPath: string, source: string, onFailure: (reason: string) => void) {
    mkdirSync(dataPath, { recursive: true, mode: 0o700 });
    this.#dataPath = dataPath;
    this.#source = source;
    this.#onFailure = onFailure;
  }

  /**
   * What an earlier process left, and when; null when there is nothing of this store.
   * @param why it is needed, for the message
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

  /** The store was read. */
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

  /** The store was written. */
  committed(changes: StoreChange[], revision: number): void {
    if (this.#byId === null || revision <= this.#revision) return;
    // Between the two, others have written: the next load brings that.
    if (revision !== this.#revision + 1) this.#isWhole = false;
    this.#revision = revision;
    for (const change of changes) {
      if (change.kind === 'put') this.#byId.set(change.endpoint.id, toEntry({ endpoint: change.endpoint, revision }));
      else this.#byId.delete(change.id);
    }
    this.#write();
  }

  /** Resolves when everything told so far is in the file, or could not be written. */
  async flush(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  /** Nobody waits for the file: what comes while it is being written is written together afterwards. */
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
    // It holds password hashes.
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
