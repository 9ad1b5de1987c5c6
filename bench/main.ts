/** `npm run bench`: runs every scenario against every broker on this machine, in turns, and writes the results. */

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { messageOf } from '../src/kernel/errors.ts';
import { benchCluster, CLUSTER_NAMES, clusterResults } from './cluster/main.ts';
import { type Options, parseOptions, USAGE } from './options.ts';
import { aedes } from './peers/aedes.ts';
import { flashmq } from './peers/flashmq.ts';
import { checkout, commit, fluxmq, fluxmqBuiltin, fluxmqUws } from './peers/fluxmq.ts';
import { mosquitto } from './peers/mosquitto.ts';
import { nats } from './peers/nats.ts';
import { findProgram, type Peer } from './peers/peer.ts';
import { chart } from './report/chart.ts';
import { readme } from './report/readme.ts';
import { merge, type Results, type ScenarioResult } from './report/results.ts';
import { summarise } from './report/summary.ts';
import { alignRows, Progress, ratios, rowsOf } from './report/table.ts';
import { isPinned, type Run, runOnce } from './runner.ts';
import type { Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios.ts';

const PEERS: readonly Peer[] = [fluxmq, fluxmqUws, fluxmqBuiltin, mosquitto, flashmq, nats, aedes];
const INSTALLABLE = ['mosquitto', 'nats-server', 'strace', 'taskset'];
const TRACED = { warmup: 0.3, duration: 0.5, isTraced: true };
/** Multiple of the warm-up for scenarios with little traffic: a broker with a JIT compiler then needs longer to reach its speed. */
const SLOW_WARMUP = 4;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function chosenScenarios(options: Options): Scenario[] {
  const known = [...SCENARIOS.map(({ name }) => name), ...CLUSTER_NAMES];
  const unknown = options.only.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`unknown scenario ${unknown.join(', ')}; known ones: ${known.join(', ')}`);
  return SCENARIOS.filter(({ name, isQuick }) => (options.only.length > 0 ? options.only.includes(name) : isQuick || !options.isQuick));
}

/** Installs the brokers and tools from Debian; the ones that cannot be installed are skipped. */
function providePrograms(): void {
  if (INSTALLABLE.every((name) => findProgram(name) !== null)) return;
  spawnSync(join(import.meta.dirname, '../scripts/prepare'), ['--bench'], { stdio: ['ignore', 'inherit', 'inherit'] });
}

function chosenPeers(options: Options): { peer: Peer; version: string }[] {
  const unknown = options.peers.filter((name) => !PEERS.some((peer) => peer.name === name));
  if (unknown.length > 0) throw new Error(`unknown peer ${unknown.join(', ')}; known ones: ${PEERS.map(({ name }) => name).join(', ')}`);
  const found: { peer: Peer; version: string }[] = [];
  for (const peer of PEERS) {
    if (options.peers.length > 0 && !options.peers.includes(peer.name)) continue;
    const version = peer.version();
    if (version === null) say(`${peer.name} is not installed: skipped`);
    else found.push({ peer, version });
  }
  if (options.compare !== null) found.push({ peer: checkout('other', resolve(options.compare)), version: options.compare });
  return found;
}

/** All repetitions of one scenario. The brokers take turns, so that a noisy minute affects all of them alike. */
async function measure(scenario: Scenario, peers: readonly Peer[], options: Options, progress: Progress): Promise<ScenarioResult> {
  const refusals: Record<string, string> = {};
  const able: Peer[] = [];
  for (const peer of peers) {
    const reason =
      scenario.peers.length > 0 && ![...scenario.peers, 'other'].includes(peer.name)
        ? 'not asked'
        : peer.refuses(scenario.needs, scenario.load);
    if (reason === null) able.push(peer);
    else if (reason !== 'not asked') refusals[peer.name] = reason;
  }
  const runs = new Map<string, Run[]>(able.map((peer) => [peer.name, []]));
  const isSlow = !options.isQuick && (scenario.load.rate > 0 || scenario.load.kind === 'storm');
  const lengths = { warmup: options.warmup * (isSlow ? SLOW_WARMUP : 1), duration: options.duration, isTraced: false };
  for (let i = 0; i < options.repetitions; i++) {
    // The order rotates: no broker always runs after the same other one.
    const order = able.map((_, at) => able[(at + i) % able.length]!);
    for (const peer of order) {
      progress.show(`${scenario.name} · ${peer.name} · ${i + 1}/${options.repetitions}`);
      runs.get(peer.name)!.push(await runOnce(scenario, peer, lengths));
      progress.step();
    }
  }
  const isTraced = options.hasSyscalls && scenario.load.kind !== 'idle' && findProgram('strace') !== null;
  const result: ScenarioResult = {
    scenario,
    date: new Date().toISOString(),
    commit: commit(),
    repetitions: options.repetitions,
    seconds: options.duration,
    loadAverage: 0,
    summaries: {},
    refusals,
  };
  for (const peer of able) {
    if (isTraced) progress.show(`${scenario.name} · ${peer.name} · system calls`);
    const traced = isTraced ? await runOnce(scenario, peer, TRACED) : null;
    const syscalls = traced === null || traced.syscalls === null || traced.delivered === 0 ? null : traced.syscalls / traced.delivered;
    result.summaries[peer.name] = summarise(runs.get(peer.name)!, scenario.load, syscalls);
  }
  result.loadAverage = loadavg()[0]!;
  return result;
}

function machine(): Results['machine'] {
  const cpu = cpus();
  return { cpu: cpu[0]?.model ?? 'unknown', cpus: cpu.length, memoryBytes: totalmem(), kernel: release(), node: process.version, isPinned };
}

/** Saves the results. Quick runs have a file of their own. A comparison of checkouts concerns the developer only and writes no README. */
function save(folder: string, results: Results, options: Options): void {
  const file = join(folder, options.isQuick ? 'quick.json' : 'latest.json');
  const all = merge(
    file,
    results,
    SCENARIOS.map(({ name }) => name),
  );
  writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`);
  if (options.isQuick || options.compare !== null) return;
  for (const result of results.scenarios) writeFileSync(join(folder, `${result.scenario.name}.svg`), chart(result));
  if (options.out === 'results') writeReadme(folder, all);
}

function writeReadme(folder: string, results: Results): void {
  writeFileSync(join(import.meta.dirname, 'README.md'), readme(results, clusterResults(folder)));
}

/** The scenarios of a cluster have brokers, figures and results of their own. */
async function mainOfCluster(options: Options, folder: string): Promise<boolean> {
  if (!options.only.some((name) => CLUSTER_NAMES.includes(name))) return true;
  const isWhole = await benchCluster(options, folder, say);
  if (options.out === 'results') writeReadme(folder, JSON.parse(readFileSync(join(folder, 'latest.json'), 'utf8')) as Results);
  return isWhole;
}

async function main(options: Options): Promise<number> {
  const scenarios = chosenScenarios(options);
  providePrograms();
  const folder = resolve(import.meta.dirname, options.out);
  const isClusterWhole = await mainOfCluster(options, folder);
  if (scenarios.length === 0) return isClusterWhole ? 0 : 1;
  const peers = chosenPeers(options);
  const results: Results = {
    machine: machine(),
    peers: peers.map(({ peer, version }) => ({ name: peer.name, version, settings: peer.settings })),
    scenarios: [],
  };
  for (const { name, version, settings } of results.peers) {
    say(`${name} ${version}: TCP_NODELAY ${settings.tcpNoDelay}; persistence ${settings.persistence}; ${settings.other}`);
  }
  if (!isPinned) say('The processes are not pinned: fewer than two CPUs, or no taskset');
  const total = scenarios.reduce((sum, { peers: only }) => sum + (only.length || peers.length) * options.repetitions, 0);
  const progress = new Progress(total, process.stderr);
  mkdirSync(folder, { recursive: true });
  for (const scenario of scenarios) {
    const result = await measure(
      scenario,
      peers.map(({ peer }) => peer),
      options,
      progress,
    );
    progress.clear();
    results.scenarios.push(result);
    say(`\n${scenario.name}: ${scenario.title}\n${alignRows(rowsOf(result))}`);
    if (ratios(result) !== '') say(`  ${ratios(result)}`);
    // Saved after each scenario, so that a stopped run keeps its results.
    save(folder, results, options);
  }
  say(`\nWritten to ${folder}`);
  if (results.scenarios.some(({ summaries }) => Object.values(summaries).some(({ isLoadBound }) => isLoadBound))) {
    say('! the load generator used more CPU than the broker: the rate is a lower bound there, the figure per CPU second is not concerned');
  }
  return !isClusterWhole ||
    results.scenarios.some(({ summaries }) => (summaries['fluxmq']?.failures.length ?? 0) > 0 || (summaries['fluxmq']?.lost ?? 0) > 0)
    ? 1
    : 0;
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) process.stdout.write(USAGE);
  else process.exitCode = await main(options);
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n\n${USAGE}`);
  process.exitCode = 2;
}
