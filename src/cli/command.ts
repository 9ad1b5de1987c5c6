/** The declaration of a command. Parsing, help and completion follow from it. */

import type { Api } from './api/client.ts';
import type { OptionSpec, Options } from './option.ts';
import type { Terminal } from './terminal.ts';

/** The kind of a word of a command; `pairs` is any number of KEY=VALUE. */
export type WordKind =
  | 'target'
  | 'pairs'
  | 'revision'
  | 'action'
  | 'shell'
  | 'file'
  | 'command'
  | 'port'
  | 'aclAction'
  | 'topic'
  | 'clients'
  | 'userName'
  | 'banSubject'
  | 'banned'
  | 'role';

/** Everything that a command runs with. */
export interface CommandCall {
  readonly words: readonly string[];
  readonly options: Options;
  readonly terminal: Terminal;
  /** The broker's admin API. The first request finds the broker and logs in. */
  readonly api: Api;
}

export interface Command {
  /** `endpoint list` */
  name: string;
  /** the words behind the name, in the form for help */
  usage: string;
  summary: string;
  /** further paragraphs of the help */
  details?: readonly string[];
  /** at least one, without the program's name */
  examples: readonly string[];
  /** options beside the common ones */
  options: readonly OptionSpec[];
  /** kinds of the words, in order; a final `pairs` may repeat */
  words: readonly WordKind[];
  /** whether the command connects to the broker, and so takes the connection options */
  connects: boolean;
  /** picks the options that name the broker and the login; default: all */
  connectionOf?: (options: Options) => Options;
  run(call: CommandCall): Promise<void>;
}
