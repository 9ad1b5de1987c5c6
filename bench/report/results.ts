/** The shape of bench/results/latest.json, and the merge of a partial run into it. */

import { readFileSync } from 'node:fs';
import type { Scenario } from '../scenario.ts';
import type { Summary } from './summary.ts';

export interface PeerInfo {
  name: string;
  version: string;
  settings: { tcpNoDelay: string; persistence: string; other: string };
}

export interface Results {
  machine: { cpu: string; cpus: number; memoryBytes: number; kernel: string; node: string; isPinned: boolean };
  peers: PeerInfo[];
  scenarios: ScenarioResult[];
}

export interface ScenarioResult {
  scenario: Scenario;
  /** date, commit and length of the scenario's run: scenarios may be run one by one */
  date: string;
  commit: string;
  repetitions: number;
  seconds: number;
  /** load average of the machine over the last minute; much more than 2 means that other work used its CPUs too */
  loadAverage: number;
  /** by peer */
  summaries: Record<string, Summary>;
  /** by peer: the reason why it was skipped */
  refusals: Record<string, string>;
}

/** The results in `file`, updated with those of this run. Scenarios that no longer exist are dropped. */
export function merge(file: string, now: Results, order: readonly string[]): Results {
  let before: ScenarioResult[] = [];
  try {
    before = (JSON.parse(readFileSync(file, 'utf8')) as Results).scenarios;
  } catch {
    // This is the first run, or the file has another shape: only this run counts.
  }
  const byName = new Map([...before, ...now.scenarios].map((result) => [result.scenario.name, result]));
  return { ...now, scenarios: order.flatMap((name) => byName.get(name) ?? []) };
}
