/** One scenario as an SVG bar chart for light and dark backgrounds. */

import type { ScenarioResult } from './results.ts';
import type { Spread, Summary } from './summary.ts';
import { short } from './table.ts';

const WIDTH = 720;
const LEFT = 96;
const RIGHT = 110;
const TOP = 56;
const ROW = 34;
const BAR = 20;

interface Bar {
  name: string;
  value: Spread;
  label: string;
}

function barOf(name: string, summary: Summary): Bar | null {
  if (summary.rssPerConnection !== null) {
    const value = summary.rssPerConnection / 1024;
    return { name, value: { median: value, min: value, max: value }, label: `${value.toFixed(1)} KB` };
  }
  if (summary.perCpuSecond === null) return null;
  return { name, value: summary.perCpuSecond, label: short(summary.perCpuSecond.median) };
}

function unit(result: ScenarioResult): string {
  const { kind } = result.scenario.load;
  if (kind === 'idle') return 'resident memory of the broker per connection; less is better';
  return `${kind === 'storm' ? 'connections' : 'messages delivered'} per CPU second of the broker, median; the line is the spread`;
}

/** A complete SVG document. */
export function chart(result: ScenarioResult): string {
  const bars = Object.entries(result.summaries).flatMap(([name, summary]) => barOf(name, summary) ?? []);
  const most = Math.max(1e-9, ...bars.map(({ value }) => value.max));
  const scale = (value: number): number => (value / most) * (WIDTH - LEFT - RIGHT);
  const height = TOP + bars.length * ROW + 12;
  const body = bars.map(({ name, value, label }, i) => {
    const y = TOP + i * ROW;
    const middle = y + BAR / 2;
    const color = name === 'fluxmq' ? '#2f81f7' : '#8b949e';
    return [
      `<text x="${LEFT - 10}" y="${middle + 5}" text-anchor="end">${xmlText(name)}</text>`,
      `<rect x="${LEFT}" y="${y}" width="${Math.max(1, scale(value.median)).toFixed(1)}" height="${BAR}" rx="3" fill="${color}"/>`,
      `<line x1="${(LEFT + scale(value.min)).toFixed(1)}" x2="${(LEFT + scale(value.max)).toFixed(1)}" y1="${middle}" y2="${middle}" stroke="#57606a" stroke-width="2"/>`,
      `<text x="${(LEFT + scale(value.max) + 8).toFixed(1)}" y="${middle + 5}">${xmlText(label)}</text>`,
    ].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${xmlText(result.scenario.title)}">
<style>text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}.unit{font-size:12px}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>
<text class="title" x="12" y="22">${xmlText(result.scenario.title)}</text>
<text class="unit" x="12" y="41">${xmlText(unit(result))}</text>
${body.join('\n')}
</svg>
`;
}

function xmlText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
