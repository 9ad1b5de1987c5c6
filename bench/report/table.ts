/** Results as text: the table on the terminal and in bench/README.md, and the progress bar. */

import type { ScenarioResult } from './results.ts';
import type { Summary } from './summary.ts';

const BAR = 24;

/** `1234` → `1.23k`, three digits. */
export function short(value: number): string {
  if (value >= 1e6) return `${digits(value / 1e6)}M`;
  if (value >= 1e3) return `${digits(value / 1e3)}k`;
  return digits(value);
}

function digits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function bytes(value: number): string {
  return value >= 1 << 20 ? `${digits(value / (1 << 20))} MB` : `${digits(value / 1024)} KB`;
}

function time(micros: number): string {
  return micros >= 1000 ? `${digits(micros / 1000)} ms` : `${micros.toFixed(0)} µs`;
}

const HEAD = [
  'broker',
  'per CPU-s',
  'spread',
  'rate /s',
  'p50',
  'p99',
  'p99.9',
  'CPU',
  'load CPU',
  'RSS',
  'calls/msg',
  'worst block',
  'checks',
];

/** Limit for a block of an event loop, milliseconds. */
const BLOCK_MS = 50;

/** The header and one row per broker. */
export function rowsOf(result: ScenarioResult): string[][] {
  const isStorm = result.scenario.load.kind === 'storm';
  const rows = [HEAD];
  for (const [name, summary] of Object.entries(result.summaries))
    rows.push(row(name, summary, isStorm || result.scenario.load.rate > 0 || result.scenario.load.window === 1));
  for (const [name, reason] of Object.entries(result.refusals)) rows.push([name, `— ${reason}`]);
  return rows;
}

function row(name: string, summary: Summary, hasLatency: boolean): string[] {
  const { perCpuSecond, rate, latency } = summary;
  const spread = perCpuSecond === null ? '' : `${short(perCpuSecond.min)}–${short(perCpuSecond.max)}`;
  // In a closed loop the window alone decides the latency.
  const times = hasLatency && latency !== null ? [time(latency.p50), time(latency.p99), time(latency.p999)] : ['', '', ''];
  const rss = summary.rssPerConnection === null ? bytes(summary.rss) : `${bytes(summary.rssPerConnection)}/conn`;
  return [
    name,
    perCpuSecond === null ? '' : short(perCpuSecond.median),
    spread,
    rate === null ? '' : short(rate.median),
    ...times,
    summary.brokerCpu.toFixed(2),
    summary.loadCpu.toFixed(2) + (summary.isLoadBound ? ' !' : ''),
    rss,
    summary.syscalls === null ? '' : digits(summary.syscalls),
    blockText(summary),
    checks(summary),
  ];
}

/** The longest block of the broker's event loop; `!` when over 50 ms, with the number of such blocks if it is known. */
function blockText({ block }: Summary): string {
  if (!block) return '';
  const text = `${digits(block.ms)} ms`;
  if (block.times > 0) return `${text} !${block.times}`;
  return block.ms > BLOCK_MS ? `${text} !` : text;
}

function checks({ lost, duplicated, disordered, failures, runs }: Summary): string {
  const problems: string[] = [];
  if (lost > 0) problems.push(`${lost} lost`);
  if (duplicated > 0) problems.push(`${duplicated} twice`);
  if (disordered > 0) problems.push(`${disordered} out of order`);
  if (failures.length > 0) problems.push(`${failures.length} of ${failures.length + runs} failed: ${failures[0]}`);
  return problems.length === 0 ? 'ok' : problems.join(', ');
}

/** Aligned columns for the terminal. */
export function alignRows(rows: readonly string[][]): string {
  const widths = HEAD.map((_, i) => Math.max(...rows.filter((cells) => cells.length > 2).map((cells) => (cells[i] ?? '').length)));
  return rows
    .map((cells) => `  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[i]!))).join('  ')}`)
    .join('\n');
}

/** A Markdown table. */
export function markdownRows(rows: readonly string[][]): string {
  const [head, ...rest] = rows;
  const line = (cells: readonly string[]): string => `| ${HEAD.map((_, i) => cells[i] ?? '').join(' | ')} |`;
  return [line(head!), `|---|${'---:|'.repeat(HEAD.length - 1)}`, ...rest.map(line)].join('\n');
}

/** The multiples of the other brokers' figures that fluxmq reaches: `fluxmq: 31 × mosquitto, 60 × aedes`. */
export function ratios(result: ScenarioResult): string {
  const own = result.summaries['fluxmq'];
  if (own === undefined) return '';
  const parts: string[] = [];
  for (const [name, other] of Object.entries(result.summaries)) {
    if (name === 'fluxmq') continue;
    if (own.rssPerConnection !== null && other.rssPerConnection !== null) {
      parts.push(`${digits(own.rssPerConnection / other.rssPerConnection)} × the memory of ${name}`);
    } else if (own.perCpuSecond !== null && other.perCpuSecond !== null) {
      parts.push(`${digits(own.perCpuSecond.median / other.perCpuSecond.median)} × ${name}`);
    }
  }
  if (own.crossing) parts.push(`${(own.crossing * 100).toFixed(0)} % of the messages crossed from one worker to another`);
  return parts.length === 0 ? '' : `fluxmq: ${parts.join(', ')}`;
}

/** A progress line that replaces itself; prints nothing when the output is not a terminal. */
export class Progress {
  readonly #total: number;
  readonly #stream: NodeJS.WriteStream;
  readonly #startedAt = performance.now();
  #done = 0;

  constructor(total: number, stream: NodeJS.WriteStream) {
    this.#total = total;
    this.#stream = stream;
  }

  show(what: string): void {
    if (!this.#stream.isTTY) return;
    const filled = Math.round((this.#done / this.#total) * BAR);
    const elapsed = (performance.now() - this.#startedAt) / 1000;
    const left = this.#done === 0 ? '' : ` ${Math.ceil((elapsed / this.#done) * (this.#total - this.#done))} s left`;
    this.#stream.write(`\r\x1b[K${'█'.repeat(filled)}${'░'.repeat(BAR - filled)} ${this.#done}/${this.#total}${left}  ${what}`);
  }

  step(): void {
    this.#done++;
  }

  clear(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K');
  }
}
