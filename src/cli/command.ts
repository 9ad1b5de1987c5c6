/** What a command of the command line is: one declaration from which parsing, help and completion are made. */

import type { Api } from './api/client.ts';
import type { OptionSpec, Options } from './option.ts';
import type { Terminal } from './terminal.ts';

/** What stands at a place among the words of a command; `pairs` are any number of KEY=VALUE. */
export type WordKind = 'target' | 'pairs' | 'revision' | 'action' | 'shell' | 'file' | 'command' | 'port';

/** What a command is run with. */
export interface Call {
  readonly words: readonly string[];
  readonly options: Options;
  readonly terminal: Terminal;
  /** The broker's admin API; found and logged in to on the first request. */
  readonly api: Api;
}

export interface Command {
  /** `endpoint list` */
  name: string;
  /** the words after the name, as help shows them */
  usage: string;
  summary: string;
  /** further paragraphs of its help */
  details?: readonly string[];
  /** at least one, without the program's name */
  examples: readonly string[];
  /** beside the common ones */
  options: readonly OptionSpec[];
  /** kinds of its words, in order; the last one may repeat when it is `pairs` */
  words: readonly WordKind[];
  /** whether it talks to the broker, and so takes the options of the connection */
  connects: boolean;
  /** which options say where the broker is and who logs in; default: all */
  connectionOf?: (options: Options) => Options;
  run(call: Call): Promise<void>;
}
