/** How long the passes of a broker's event loops are, in CPU time: see pass-cost.ts. */

import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { BrokerOptions } from './broker.ts';
import { preload } from './preload.ts';

const HOOK = resolve(import.meta.dirname, 'pass-cost.ts');

export class Passes {
  readonly #dir = mkdtempSync(join(tmpdir(), 'fluxmq-passes-'));

  /** The options of a broker whose passes are measured. */
  measured(options: BrokerOptions): BrokerOptions {
    const nodeOptions = `${options.env?.['NODE_OPTIONS'] ?? ''} ${preload(HOOK)}`;
    return { ...options, env: { ...options.env, PASS_COST: this.#dir, NODE_OPTIONS: nodeOptions } };
  }

  /** The passes of each thread since `since` (wall clock), milliseconds of CPU time; those of less than 20 ms are missing. */
  long(since: number): Map<string, number[]> {
    const passes = new Map<string, number[]>();
    for (const name of readdirSync(this.#dir)) {
      const lines = readFileSync(join(this.#dir, name), 'latin1').trim().split('\n');
      const found = lines.map((line) => line.split(' ').map(Number)).filter(([at]) => at! >= since);
      if (found.length > 0)
        passes.set(
          name,
          found.map(([, ms]) => ms!),
        );
    }
    return passes;
  }

  /** The longest of each thread. */
  longest(since: number): Record<string, number> {
    return Object.fromEntries([...this.long(since)].map(([name, passes]) => [name, Math.max(...passes)]));
  }
}
