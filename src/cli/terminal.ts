/** What a command may do with the world around it: print, ask, read what is piped in. */

/** Standard streams and surroundings of the process, replaceable in tests. */
export interface Terminal {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** columns of the terminal; null when standard output is none */
  readonly width: number | null;
  /** whether colours may be used */
  readonly color: boolean;
  /** whether there is somebody who can answer */
  readonly canAsk: boolean;
  /** one or more lines on standard output; a newline is added */
  out(text: string): void;
  /** bytes on standard output as they are; resolves when they are taken */
  write(bytes: Uint8Array): Promise<void>;
  /** the same as `out` on standard error */
  err(text: string): void;
  /** a question and its answer, without the newline; '' at the end of input */
  ask(question: string): Promise<string>;
  /** all of standard input, at most `maxBytes`. @throws Error when there is more */
  readInput(maxBytes: number): Promise<string>;
}

const CODES = { green: 32, red: 31, yellow: 33, dim: 2, bold: 1 } as const;

/** The text in a colour, where colours are used. */
export function paint(terminal: Terminal, color: keyof typeof CODES, text: string): string {
  return terminal.color ? `\u001b[${CODES[color]}m${text}\u001b[0m` : text;
}

/** Names and texts of others are printed on terminals: characters that would steer it become visible ones. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu, (character) =>
    character === '\t' ? ' ' : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}
