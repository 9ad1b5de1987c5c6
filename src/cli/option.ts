/** The declaration of an option, and the options that were given. */

/** One option. `value` names the value that follows; an option without it is a switch. */
export interface OptionSpec {
  name: string;
  short?: string;
  value?: string;
  text: string;
  /** the possible words of the value, or the shell's own kind of completion */
  completes?: readonly string[] | 'file' | 'revision';
}

/** The options that were given, by name without dashes. */
export class Options {
  readonly #values: ReadonlyMap<string, string | true>;

  constructor(values: ReadonlyMap<string, string | true>) {
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value of an option that takes one; undefined when it was not given. */
  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return value === true ? undefined : value;
  }

  /** The same options without one of them. */
  without(name: string): Options {
    return new Options(new Map([...this.#values].filter(([given]) => given !== name)));
  }
}
