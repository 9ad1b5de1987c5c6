/** The surroundings of a command: printing, questions and standard input. */

/** Standard streams and surroundings of the process, replaceable in tests. */
export interface Terminal {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** columns of the terminal; null when standard output is no terminal */
  readonly width: number | null;
  /** whether colours may be used */
  readonly color: boolean;
  /** whether a person can answer a question */
  readonly canAsk: boolean;
  /** whether standard input is a terminal */
  readonly isTyped: boolean;
  /** one or more lines on standard output; a newline is added */
  out(text: string): void;
  /** writes raw bytes to standard output; resolves once they are written */
  write(bytes: Uint8Array): Promise<void>;
  /** the same as `out` on standard error */
  err(text: string): void;
  /** asks a question; resolves to the answer without its newline, '' at the end of input */
  ask(question: string): Promise<string>;
  /** as `ask`, for a secret: what is typed is not shown. Only with `isTyped` */
  askHidden(question: string): Promise<string>;
  /** all of standard input, at most `maxBytes`. @throws Error when there is more */
  readInput(maxBytes: number): Promise<string>;
}

const CODES = { green: 32, red: 31, yellow: 33, dim: 2, bold: 1 } as const;

/** The text in a colour, if colours are used. */
export function paint(terminal: Terminal, color: keyof typeof CODES, text: string): string {
  return terminal.color ? `\u001b[${CODES[color]}m${text}\u001b[0m` : text;
}

/** Makes control characters visible, so that foreign names and texts cannot control the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu, (character) =>
    character === '\t' ? ' ' : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}
