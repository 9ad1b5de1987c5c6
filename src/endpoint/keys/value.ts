/**
 * The kinds of values that a key takes, as data. This file loads no library: workers and the command line read the tables of keys, and
 * zod alone takes a tenth of a second to load.
 */

/** One rule about a text, and its phrasing in errors. */
export type TextRule = { readonly rule: string } & (
  | { readonly min: number }
  | { readonly max: number }
  | { readonly pattern: RegExp }
  | { readonly test: (text: string) => boolean }
);

export type Shape =
  | { readonly kind: 'boolean' }
  /** a whole number of `min`..`max`, or `word` */
  | { readonly kind: 'integer'; readonly min: number; readonly max: number; readonly word?: string }
  | { readonly kind: 'choice'; readonly words: readonly string[] }
  /** `range`: the rules in short, for the documents */
  | { readonly kind: 'text'; readonly rules: readonly TextRule[]; readonly range: string }
  /** texts, of `words` if there are any; a reader of its own also takes other spellings */
  | { readonly kind: 'list'; readonly words: readonly string[] | null; readonly range: string }
  /** an object with a reader of its own */
  | { readonly kind: 'structure'; readonly range: string };

/** A shape whose values have the type `T`. */
export type Value<T> = Shape & { readonly typeOnly?: T };

export const boolean: Value<boolean> = { kind: 'boolean' };

export function integer(min: number, max: number): Value<number> {
  return { kind: 'integer', min, max };
}

export function integerOr<const W extends string>(min: number, max: number, word: W): Value<number | W> {
  return { kind: 'integer', min, max, word };
}

export function choice<const W extends string>(...words: readonly W[]): Value<W> {
  return { kind: 'choice', words };
}

export function text(range: string, ...rules: readonly TextRule[]): Value<string> {
  return { kind: 'text', rules, range };
}

export function listOf<const W extends string>(range: string, words: readonly W[]): Value<W[]> {
  return { kind: 'list', words, range };
}

export function textList(range: string): Value<string[]> {
  return { kind: 'list', words: null, range };
}

export function structure<T>(range: string): Value<T> {
  return { kind: 'structure', range };
}

/** The phrasing of a value of the wrong type or out of its range, in errors. */
export function ruleOf(shape: Shape): string {
  switch (shape.kind) {
    case 'boolean':
      return 'must be true or false';
    case 'integer':
      return `must be a whole number, ${shape.min}..${shape.max}${shape.word === undefined ? '' : `, or "${shape.word}"`}`;
    case 'choice':
      return `must be one of ${shape.words.join(', ')}`;
    case 'text':
      return 'must be a string';
    case 'list':
      return 'must be a list of names';
    case 'structure':
      return 'must be an object';
  }
}

/** The possible values in short, for the documents (Markdown). */
export function rangeOf(shape: Shape): string {
  switch (shape.kind) {
    case 'boolean':
      return 'boolean';
    case 'integer':
      return `${shape.min}..${shape.max}${shape.word === undefined ? '' : ` or \`${shape.word}\``}`;
    case 'choice':
      return shape.words.map((word) => `\`${word}\``).join(', ');
    default:
      return shape.range;
  }
}
