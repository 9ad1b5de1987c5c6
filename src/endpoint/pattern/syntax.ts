/** Reads a regular expression: JavaScript's syntax without the parts that no automaton decides in linear time. */

/** One expression as a tree. `unit` matches one UTF-16 unit. */
export type PatternNode =
  | { kind: 'unit'; source: string }
  | { kind: 'assert'; what: Assertion }
  | { kind: 'sequence'; parts: PatternNode[] }
  | { kind: 'choice'; parts: PatternNode[] }
  /** `max` may be Infinity */
  | { kind: 'repeat'; of: PatternNode; min: number; max: number };

export type Assertion = 'start' | 'end' | 'boundary' | 'noBoundary';

/** The reason why an expression is refused. */
export class PatternError extends Error {}

const QUANTIFIER = /^(?:[*+?]|\{(\d+)(?:(,)(\d*))?\})\??/;
const GROUP_NAME = /^\?<[^=!][^>]*>/;
const LINEAR = 'it cannot be matched in linear time, so that a client could stop a thread with it';

/** The tree of `source`. @throws PatternError with the reason, for people */
export function parsePattern(source: string): PatternNode {
  try {
    new RegExp(source, 's');
  } catch (error) {
    throw new PatternError(error instanceof Error ? error.message : 'is not a regular expression');
  }
  const reader = new PatternReader(source);
  const tree = reader.choice();
  // V8 has accepted the expression: a rest is a fault of this reader.
  if (!reader.isAtEnd) throw new PatternError(`is not understood at character ${reader.at + 1}`);
  return tree;
}

class PatternReader {
  at = 0;
  readonly #source: string;

  constructor(source: string) {
    this.#source = source;
  }

  get isAtEnd(): boolean {
    return this.at === this.#source.length;
  }

  choice(): PatternNode {
    const parts = [this.#sequence()];
    while (this.#source[this.at] === '|') {
      this.at++;
      parts.push(this.#sequence());
    }
    return parts.length === 1 ? parts[0]! : { kind: 'choice', parts };
  }

  #sequence(): PatternNode {
    const parts: PatternNode[] = [];
    for (let next = this.#source[this.at]; next !== undefined && next !== '|' && next !== ')'; next = this.#source[this.at]) {
      parts.push(this.#quantified(this.#term(next)));
    }
    return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts };
  }

  #quantified(of: PatternNode): PatternNode {
    const match = QUANTIFIER.exec(this.#source.slice(this.at));
    if (match === null) return of;
    this.at += match[0].length;
    const [written, least, comma, most] = match;
    if (least === undefined) return { kind: 'repeat', of, min: written[0] === '+' ? 1 : 0, max: written[0] === '?' ? 1 : Infinity };
    const min = Number(least);
    if (comma === undefined) return { kind: 'repeat', of, min, max: min };
    return { kind: 'repeat', of, min, max: most === '' ? Infinity : Number(most) };
  }

  #term(first: string): PatternNode {
    switch (first) {
      case '(':
        return this.#group();
      case '[':
        return this.#class();
      case '\\':
        return this.#escape();
      case '^':
      case '$':
        this.at++;
        return { kind: 'assert', what: first === '^' ? 'start' : 'end' };
      default:
        return this.#unit(first.length);
    }
  }

  #unit(length: number): PatternNode {
    const source = this.#source.slice(this.at, this.at + length);
    this.at += length;
    return { kind: 'unit', source };
  }

  #group(): PatternNode {
    const rest = this.#source.slice(this.at + 1);
    const around = /^\?<?[=!]/.exec(rest);
    if (around !== null) throw this.#refusal(`look-around (${around[0]}`, LINEAR);
    const named = GROUP_NAME.exec(rest);
    if (named !== null) this.at += named[0].length;
    else if (rest.startsWith('?:')) this.at += 2;
    else if (rest.startsWith('?')) throw this.#refusal(`a group (${rest.slice(0, 2)}`, 'only (…), (?:…) and (?<name>…) are known');
    this.at++;
    const inside = this.choice();
    this.at++;
    return inside;
  }

  #class(): PatternNode {
    let end = this.at + 1;
    while (this.#source[end] !== ']') end += this.#source[end] === '\\' ? 2 : 1;
    return this.#unit(end + 1 - this.at);
  }

  #escape(): PatternNode {
    const rest = this.#source.slice(this.at);
    const boundary = /^\\[bB]/.exec(rest)?.[0];
    if (boundary !== undefined) {
      this.at += 2;
      return { kind: 'assert', what: boundary === '\\b' ? 'boundary' : 'noBoundary' };
    }
    const reference = /^\\(?:[1-9]|k)/.exec(rest)?.[0];
    if (reference !== undefined) throw this.#refusal(`a back reference ${reference}`, LINEAR);
    const foreign = /^\\(?:[pP]|0\d|c(?![A-Za-z]))/.exec(rest)?.[0];
    if (foreign !== undefined) throw this.#refusal(`the escape ${foreign}`, 'it is not supported');
    return this.#unit(/^\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|c[A-Za-z]|[\s\S])/.exec(rest)![0].length);
  }

  #refusal(what: string, why: string): PatternError {
    return new PatternError(`has ${what} at character ${this.at + 1}: ${why}`);
  }
}
