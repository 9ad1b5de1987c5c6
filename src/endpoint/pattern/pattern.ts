/** A regular expression of the configuration, matched against names of strangers in time that is linear in the name. */

import { type Assertion, PatternError, type PatternNode, parsePattern } from './syntax.ts';

/** Characters of an expression. */
export const PATTERN_LENGTH_MAX = 1024;
/** States of the automaton. States times characters bound the time of a match. */
export const PATTERN_STATES_MAX = 512;
/** Characters of a name. A longer name matches no pattern. */
export const PATTERN_TEXT_MAX = 2048;
/** Steps while the states are made: empty parts make no state and may be repeated a million times. */
const STEPS_MAX = 20_000;

const LATIN1 = 256;

/** One state: takes a unit, or leads to `next` without one, if `assertion` holds. */
interface State {
  readonly unit: UnitTest | null;
  readonly assertion: Assertion | null;
  next: readonly number[];
}

/** The UTF-16 units that match a literal, an escape or a class, by V8's own judgement, taken once for each of Latin-1. */
class UnitTest {
  readonly #expression: RegExp;
  readonly #latin1 = new Uint8Array(LATIN1);

  constructor(source: string) {
    this.#expression = new RegExp(`^${source}$`, 's');
    for (let unit = 0; unit < LATIN1; unit++) this.#latin1[unit] = Number(this.#expression.test(String.fromCharCode(unit)));
  }

  takes(unit: number): boolean {
    return unit < LATIN1 ? this.#latin1[unit] === 1 : this.#expression.test(String.fromCharCode(unit));
  }
}

/**
 * An automaton that follows its states side by side (Thompson), so that no input makes it backtrack. It reuses its memory: two calls must not
 * use one pattern at the same time.
 */
export class Pattern {
  readonly #states: State[] = [];
  readonly #tests = new Map<string, UnitTest>();
  readonly #first: number;
  readonly #accepting: number;
  /** the position at which each state was reached last */
  readonly #reachedAt: Int32Array;
  /** reached states still to be followed */
  readonly #open: Int32Array;
  /** states that take a unit: at this position, and at the next one */
  readonly #taking: readonly [Int32Array, Int32Array];
  #steps = 0;

  /** @throws PatternError when the expression is no regular expression, is too large, or has look-around or back references */
  constructor(source: string) {
    if (source.length > PATTERN_LENGTH_MAX) throw new PatternError(`must be at most ${PATTERN_LENGTH_MAX} characters`);
    this.#accepting = this.#add({ unit: null, assertion: null, next: [] });
    this.#first = this.#build(parsePattern(source), this.#accepting);
    const { length } = this.#states;
    this.#reachedAt = new Int32Array(length);
    this.#open = new Int32Array(length);
    this.#taking = [new Int32Array(length), new Int32Array(length)];
  }

  /** True when the whole text matches. False for a text over PATTERN_TEXT_MAX characters. */
  matches(text: string): boolean {
    if (text.length > PATTERN_TEXT_MAX) return false;
    this.#reachedAt.fill(-1);
    let current = this.#taking[0];
    let following = this.#taking[1];
    let count = this.#reach(this.#first, text, 0, current, 0);
    for (let at = 0; at < text.length && count > 0; at++) {
      const unit = text.charCodeAt(at);
      let reached = 0;
      for (let each = 0; each < count; each++) {
        const { unit: test, next } = this.#states[current[each]!]!;
        if (test!.takes(unit)) reached = this.#reach(next[0]!, text, at + 1, following, reached);
      }
      [current, following] = [following, current];
      count = reached;
    }
    return this.#reachedAt[this.#accepting] === text.length;
  }

  /** Adds the unit-taking states that `from` leads to, behind `count`. @returns their new number */
  #reach(from: number, text: string, at: number, into: Int32Array, count: number): number {
    const [states, reachedAt, open] = [this.#states, this.#reachedAt, this.#open];
    if (reachedAt[from] === at) return count;
    reachedAt[from] = at;
    open[0] = from;
    let total = count;
    for (let left = 1; left > 0; ) {
      const index = open[--left]!;
      const { unit, assertion, next } = states[index]!;
      if (unit !== null) into[total++] = index;
      else if (assertion === null || holds(assertion, text, at)) {
        for (let each = 0; each < next.length; each++) {
          const to = next[each]!;
          if (reachedAt[to] === at) continue;
          reachedAt[to] = at;
          open[left++] = to;
        }
      }
    }
    return total;
  }

  #add(state: State): number {
    if (this.#states.length >= PATTERN_STATES_MAX) throw tooLarge();
    return this.#states.push(state) - 1;
  }

  /** @returns the first state of `node`, when `next` follows it */
  #build(node: PatternNode, next: number): number {
    if (++this.#steps > STEPS_MAX) throw tooLarge();
    switch (node.kind) {
      case 'unit':
        return this.#add({ unit: this.#test(node.source), assertion: null, next: [next] });
      case 'assert':
        return this.#add({ unit: null, assertion: node.what, next: [next] });
      case 'sequence':
        return node.parts.reduceRight((following, part) => this.#build(part, following), next);
      case 'choice': {
        const index = this.#add({ unit: null, assertion: null, next: [] });
        this.#states[index]!.next = node.parts.map((part) => this.#build(part, next));
        return index;
      }
      case 'repeat':
        return this.#buildRepeat(node, next);
    }
  }

  #buildRepeat({ of, min, max }: Extract<PatternNode, { kind: 'repeat' }>, next: number): number {
    let first = next;
    if (max === Infinity) {
      first = this.#add({ unit: null, assertion: null, next: [] });
      this.#states[first]!.next = [next, this.#build(of, first)];
    } else {
      for (let count = min; count < max; count++) {
        const optional = this.#add({ unit: null, assertion: null, next: [] });
        this.#states[optional]!.next = [next, this.#build(of, first)];
        first = optional;
      }
    }
    for (let count = 0; count < min; count++) first = this.#build(of, first);
    return first;
  }

  #test(source: string): UnitTest {
    let test = this.#tests.get(source);
    if (test === undefined) {
      test = new UnitTest(source);
      this.#tests.set(source, test);
    }
    return test;
  }
}

/** The reason why an expression is refused, or null. */
export function patternProblem(source: string): string | null {
  try {
    new Pattern(source);
    return null;
  } catch (error) {
    if (error instanceof PatternError) return error.message;
    throw error;
  }
}

function tooLarge(): PatternError {
  return new PatternError(`is too large: its repetitions make more than ${PATTERN_STATES_MAX} states`);
}

function holds(assertion: Assertion, text: string, at: number): boolean {
  if (assertion === 'start') return at === 0;
  if (assertion === 'end') return at === text.length;
  const isBoundary = isWord(text.charCodeAt(at - 1)) !== isWord(text.charCodeAt(at));
  return isBoundary === (assertion === 'boundary');
}

/** `\w`; NaN, beyond the text, is none. */
function isWord(unit: number): boolean {
  return (unit >= 48 && unit <= 57) || (unit >= 65 && unit <= 90) || unit === 95 || (unit >= 97 && unit <= 122);
}
