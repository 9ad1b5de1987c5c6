/** `npm run bench -- --only cluster`: the scenarios of a cluster, each beside local delivery or a node alone in the same run, and beside other clusters. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../src/kernel/errors.ts';
import type { Options } from '../options.ts';
import { commit } from '../peers/fluxmq.ts';
import type { ClusterContext, ClusterScenario } from './contract.ts';
import { type ClusterResult, type Figure, figureRow } from './figures.ts';
import { fluxmqCluster } from './peers/fluxmq-cluster.ts';
import { mosquittoBridge, natsMqtt, rabbitmq } from './peers/others.ts';
import { CLIENTS } from './scenarios/clients.ts';
import { CROSSING } from './scenarios/crossing.ts';
import { NODES } from './scenarios/nodes.ts';

const SCENARIOS: readonly ClusterScenario[] = [...CROSSING, ...CLIENTS, ...NODES];
const PEERS = [fluxmqCluster, mosquittoBridge, natsMqtt, rabbitmq];
/** Stands for all scenarios of the cluster in `--only`. */
export const CLUSTER = 'cluster';
export const CLUSTER_NAMES: readonly string[] = [CLUSTER, ...SCENARIOS.map(({ name }) => name)];
const FILE = 'cluster.json';

/** The results of the last run of each scenario, in display order. */
export function clusterResults(folder: string): ClusterResult[] {
  try {
    return JSON.parse(readFileSync(join(folder, FILE), 'utf8')) as ClusterResult[];
  } catch {
    return [];
  }
}

/**
 * Runs the scenarios that `only` names, and replaces their results in the folder.
 * @returns false when fluxmq could not run one of them
 */
export async function benchCluster(options: Options, folder: string, say: (text: string) => void): Promise<boolean> {
  const wanted = SCENARIOS.filter(({ name }) => options.only.includes(CLUSTER) || options.only.includes(name));
  const peers = PEERS.filter((peer) => {
    const isAsked = options.peers.length === 0 || options.peers.some((name) => peer.name.toLowerCase().startsWith(name));
    const isThere = peer.version() !== null;
    if (isAsked && !isThere) say(`${peer.name} is not installed: skipped`);
    return isAsked && isThere;
  });
  mkdirSync(folder, { recursive: true });
  let isWhole = true;
  for (const scenario of wanted) {
    const result = await runScenario(scenario, options, peers, say);
    isWhole &&= !('fluxmq' in result.refusals);
    const all = new Map([...clusterResults(folder), result].map((each) => [each.scenario, each]));
    writeFileSync(
      join(folder, FILE),
      `${JSON.stringify(
        SCENARIOS.flatMap(({ name }) => all.get(name) ?? []),
        null,
        2,
      )}\n`,
    );
  }
  return isWhole;
}

async function runScenario(
  scenario: ClusterScenario,
  options: Options,
  peers: ClusterContext['peers'],
  say: (text: string) => void,
): Promise<ClusterResult> {
  const { name, title } = scenario;
  say(`\n${name}: ${title}`);
  const figures: Figure[] = [];
  const refusals: Record<string, string> = {};
  const dir = mkdtempSync(join(tmpdir(), 'fluxmq-bench-'));
  const context: ClusterContext = {
    options,
    dir,
    peers,
    say,
    add(figure) {
      figures.push(figure);
      say(`  ${figureRow(figure).join('  ')}`);
    },
    async attempt(peer, work) {
      const own = join(dir, peer.name.replace(/\W/g, ''));
      mkdirSync(own, { recursive: true });
      context.dir = own;
      try {
        await work();
      } catch (error) {
        refusals[peer.name] = messageOf(error).split('\n')[0]!;
        say(`  ${peer.name}: ${refusals[peer.name]}`);
      }
    },
  };
  try {
    await scenario.run(context);
  } catch (error) {
    refusals['fluxmq'] = messageOf(error).split('\n')[0]!;
    say(`  fluxmq: ${refusals['fluxmq']}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return { scenario: name, title, date: new Date().toISOString(), commit: commit(), loadAverage: loadavg()[0]!, figures, refusals };
}
