/** `import`: endpoints from an export, or from the table of a FluxMQ database. */

import { FluxError, messageOf } from '../../kernel/errors.ts';
import { readSecret } from '../api/target.ts';
import type { Command, CommandCall } from '../command.ts';
import { CommandFailure, EXIT, usageFailure } from '../failure.ts';
import { readDocumentFile } from '../input/document-file.ts';
import type { OptionSpec } from '../option.ts';
import { printable } from '../terminal.ts';
import { CHANGE_OPTIONS, DRAIN, FORCE, refuseSurplus } from './common.ts';
import { DRY_RUN, oneFile, upload, WITH_CONFIGS } from './transfer.ts';

/** The endpoints of a FluxMQ database. */
export interface FluxmqRows {
  /** endpoints in the form that `add` takes */
  configs: Record<string, unknown>[];
  /** rows that cannot be taken, and the reasons */
  leftOut: { id: string; port: number; reason: string }[];
  /** differences between rows and their endpoints, in words */
  warnings: string[];
}

/**
 * Reads a FluxMQ database. The caller passes it in, because src/cli imports no store.
 * @throws FluxError `invalid` (the URL), `not-found` (no such table), `unavailable`
 */
export type FluxmqSource = (where: { url: string; username: string; password: string }) => Promise<FluxmqRows>;

const OPTIONS: readonly OptionSpec[] = [
  {
    name: 'mode',
    value: 'MODE',
    text: 'merge (default), or replace, which removes endpoints that are not in the file',
    completes: ['merge', 'replace'],
  },
  DRY_RUN,
  ...CHANGE_OPTIONS,
  DRAIN,
  FORCE,
  { name: 'from-fluxmq', text: 'read the EndpointConfig table of a FluxMQ database instead of a file' },
  { name: 'url', value: 'JDBC', text: 'with --from-fluxmq: the database, such as jdbc:mysql://localhost:3306/fluxmq' },
  { name: 'username', value: 'NAME', text: 'with --from-fluxmq: its user' },
  {
    name: 'password-file',
    value: 'FILE',
    text: "the admin API's password; with --from-fluxmq that of the database (or set FLUXMQ_DATABASE_PASSWORD)",
    completes: 'file',
  },
];

/** @throws CommandFailure (usage) */
function readMode(call: CommandCall): string {
  const mode = call.options.text('mode') ?? 'merge';
  if (mode !== 'merge' && mode !== 'replace') throw usageFailure(`--mode ${mode}: expected merge or replace`);
  return mode;
}

/** Maps a wrong URL to a wrong argument, a missing table to a refusal, and any other error to an unreachable server. */
function unreadable(error: unknown): CommandFailure {
  const kind = error instanceof FluxError ? error.kind : null;
  const message = `the FluxMQ database cannot be read: ${messageOf(error)}`;
  return new CommandFailure(kind === 'invalid' ? EXIT.usage : kind === 'not-found' ? EXIT.refused : EXIT.unreachable, message);
}

async function readRows(call: CommandCall, source: FluxmqSource): Promise<Record<string, unknown>> {
  const { options, terminal } = call;
  refuseSurplus(call.words);
  const [url, username] = [options.text('url'), options.text('username')];
  if (url === undefined || username === undefined) throw usageFailure('--from-fluxmq needs --url and --username');
  const file = options.text('password-file');
  const password =
    file === undefined ? (terminal.env['FLUXMQ_DATABASE_PASSWORD'] ?? '') : await readSecret('password-file', file, terminal);
  let rows: FluxmqRows;
  try {
    rows = await source({ url, username, password });
  } catch (error) {
    throw unreadable(error);
  }
  for (const warning of rows.warnings) terminal.err(`warning: ${printable(warning)}`);
  for (const { id, port, reason } of rows.leftOut) terminal.err(printable(`left out: ${id} (port ${port}): ${reason}`));
  if (rows.configs.length === 0) throw new CommandFailure(EXIT.refused, 'there is nothing to import');
  return { configs: rows.configs };
}

async function run(call: CommandCall, source: FluxmqSource): Promise<void> {
  const { options } = call;
  const mode = readMode(call);
  const isFluxmq = options.has('from-fluxmq');
  if (!isFluxmq && (options.has('url') || options.has('username'))) throw usageFailure('--url and --username belong to --from-fluxmq');
  const document = isFluxmq
    ? await readRows(call, source)
    : await readDocumentFile(oneFile(call.words, 'import'), ['endpoints', '0'], WITH_CONFIGS, call.terminal);
  await upload(call, '/api/endpoints/import', { ...document, mode }, 'imported');
}

/** The command. @param source reads the table of a FluxMQ database */
export function importCommand(source: FluxmqSource): Command {
  return {
    name: 'import',
    usage: 'FILE | --from-fluxmq --url JDBC --username NAME',
    summary: 'adds or changes endpoints from an export; all or nothing, one revision',
    details: ['FILE is an export, or an object with a list "configs" of endpoints; - is standard input.'],
    examples: [
      'import endpoints.json --dry-run',
      'import endpoints.json --mode replace --confirm-within 1m',
      'import --from-fluxmq --url jdbc:mysql://localhost:3306/fluxmq --username root --password-file secret.txt',
    ],
    options: OPTIONS,
    words: ['file'],
    connects: true,
    // The database password must not be sent to the broker.
    connectionOf: (options) => (options.has('from-fluxmq') ? options.without('password-file') : options),
    run: (call) => run(call, source),
  };
}
