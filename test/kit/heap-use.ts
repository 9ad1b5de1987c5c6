/** Memory of a broker's threads after a garbage collection: JavaScript objects, and the buffers behind them. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { BrokerOptions } from './broker.ts';
import { sleep } from './until.ts';

const HOOK = resolve(import.meta.dirname, 'heap-hook.ts');
/** Every thread looks ten times a second, and collects for some 100 ms. */
const ANSWER_MS = 3_000;

export class HeapUse {
  readonly #dir = mkdtempSync(join(tmpdir(), 'fluxmq-heap-'));
  #requests = 0;

  /** The options of a broker whose memory is read. */
  measured(options: BrokerOptions): BrokerOptions {
    const nodeOptions = `${options.env?.['NODE_OPTIONS'] ?? ''} --import ${HOOK} --no-warnings`;
    return { ...options, env: { ...options.env, HEAP_USE: this.#dir, NODE_OPTIONS: nodeOptions } };
  }

  /** Forces a collection in every thread. @returns MB that are left, over all threads; 0 when no thread answered */
  async readMb(): Promise<number> {
    const request = `${++this.#requests}`;
    writeFileSync(join(this.#dir, 'request'), request);
    await sleep(ANSWER_MS);
    const answers = readdirSync(this.#dir).filter((name) => name.startsWith(`${request}-`));
    const bytes = answers.reduce((sum, name) => sum + Number(readFileSync(join(this.#dir, name), 'latin1')), 0);
    return Math.round(bytes / 1024 / 1024);
  }

  close(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
