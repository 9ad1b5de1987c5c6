/** What happened, in order: harms, connections and faults. The first fault is kept with the lines before it. */

export type FaultKind = 'lost' | 'repeated' | 'reordered' | 'session' | 'will' | 'retained' | 'twice connected' | 'unanswered' | 'refused';

const LINES_MAX = 400;
/** Lines that are shown before the first fault. */
const SHOWN = 60;
const FAULTS_SHOWN = 12;

export class Trace {
  /** number of faults by kind */
  readonly faults: Partial<Record<FaultKind, number>> = {};
  /** numbers of what is worth a line in the report, and is no fault */
  readonly counts: Record<string, number> = {};
  readonly #startedAt = performance.now();
  readonly #lines: string[] = [];
  readonly #told: string[] = [];
  readonly #echo: ((line: string) => void) | null;

  /** @param echo gets each line at once; null: nobody */
  constructor(echo: ((line: string) => void) | null) {
    this.#echo = echo;
  }

  /** Seconds since the start, as text. */
  at(time: number = performance.now()): string {
    return `${((time - this.#startedAt) / 1000).toFixed(3)} s`;
  }

  say(text: string): void {
    const line = `${this.at()}  ${text}`;
    this.#lines.push(line);
    if (this.#lines.length > LINES_MAX) this.#lines.shift();
    this.#echo?.(line);
  }

  count(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by;
  }

  fault(kind: FaultKind, text: string): void {
    this.faults[kind] = (this.faults[kind] ?? 0) + 1;
    const before = this.#told.length === 0 ? this.#lines.slice(-SHOWN) : [];
    if (this.#told.length < FAULTS_SHOWN) this.#told.push([...before, `${this.at()}  FAULT ${kind}: ${text}`].join('\n'));
    this.#echo?.(`${this.at()}  FAULT ${kind}: ${text}`);
  }

  get hasFaults(): boolean {
    return this.#told.length > 0;
  }

  /** The lines before the first fault, then the first faults. */
  get story(): string {
    return this.#told.join('\n');
  }
}
