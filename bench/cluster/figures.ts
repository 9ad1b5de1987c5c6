/** What a scenario of the cluster measures: figures, some of them with a demand. */

export interface Figure {
  broker: string;
  /** what was measured */
  what: string;
  value: number;
  /** `µs`, `ms`, `x` (a ratio within this run), `B`, `` (a count) */
  unit: '' | 'µs' | 'ms' | 'x' | 'B';
  /** the most that is allowed; null: shown for comparison */
  most: number | null;
  /** the parts of the value, in words */
  note: string;
}

export interface ClusterResult {
  scenario: string;
  title: string;
  date: string;
  commit: string;
  loadAverage: number;
  figures: Figure[];
  /** by broker: the reason why it was skipped, or failed */
  refusals: Record<string, string>;
}

/** Three digits. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 10_000) return `${(value / 1000).toFixed(0)}k`;
  if (size >= 100) return value.toFixed(0);
  return size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function textOf({ value, unit }: Figure): string {
  return unit === 'x' ? `${digits(value)} ×` : `${digits(value)}${unit === '' ? '' : ` ${unit}`}`;
}

export function verdict(figure: Figure): string {
  if (figure.most === null) return '';
  return `≤ ${textOf({ ...figure, value: figure.most })}: ${figure.value <= figure.most ? 'met' : 'missed'}`;
}

export const figureRow = (figure: Figure): string[] => [figure.broker, figure.what, textOf(figure), verdict(figure), figure.note];

export const FIGURE_HEAD = ['broker', 'what', 'figure', 'demand', 'parts'];
