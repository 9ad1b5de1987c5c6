/** The shape of bench/results/latest.json. */

import type { Scenario } from '../scenario.ts';
import type { Summary } from './summary.ts';

export interface PeerInfo {
  name: string;
  version: string;
  settings: { tcpNoDelay: string; persistence: string; other: string };
}

export interface Results {
  date: string;
  commit: string;
  machine: { cpu: string; cpus: number; memoryBytes: number; kernel: string; node: string; isPinned: boolean };
  repetitions: number;
  seconds: number;
  peers: PeerInfo[];
  scenarios: ScenarioResult[];
}

export interface ScenarioResult {
  scenario: Scenario;
  /** by peer */
  summaries: Record<string, Summary>;
  /** by peer: why it was left out */
  refusals: Record<string, string>;
}
