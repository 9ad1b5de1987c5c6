/** The shape of bench/results/latest.json, and how a run of some scenarios is put among the others. */

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
  /** when, of what, and how long: scenarios may be run one by one */
  date: string;
  commit: string;
  repetitions: number;
  seconds: number;
  /** of the machine over the minute before the end: much more than 2 says that others used its CPUs as well */
  loadAverage: number;
  /** by peer */
  summaries: Record<string, Summary>;
  /** by peer: why it was left out */
  refusals: Record<string, string>;
}

/** The results in `file` with those of this run in their places; scenarios that are no more are left out. */
export function merge(file: string, now: Results, order: readonly string[]): Results {
  let before: ScenarioResult[] = [];
  try {
    before = (JSON.parse(readFileSync(file, 'utf8')) as Results).scenarios;
  } catch {
    // The first run, or a file of another shape: this run is all there is.
  }
  const byName = new Map([...before, ...now.scenarios].map((result) => [result.scenario.name, result]));
  return { ...now, scenarios: order.flatMap((name) => byName.get(name) ?? []) };
}
