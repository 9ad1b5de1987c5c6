/** `apply`: makes the endpoints in the store match a configuration file. */

import type { Command, CommandCall } from '../command.ts';
import { usageFailure } from '../failure.ts';
import { readDocumentFile } from '../input/document-file.ts';
import { CHANGE_OPTIONS, DRAIN, FORCE } from './common.ts';
import { DRY_RUN, oneFile, upload } from './transfer.ts';

async function apply(call: CommandCall): Promise<void> {
  const file = oneFile(call.words, 'apply');
  const document = await readDocumentFile(file, [], 'a configuration with a list "endpoints"', call.terminal);
  const configs = document['endpoints'] ?? document['mqtt'];
  if (!Array.isArray(configs)) throw usageFailure(`${file} has no list "endpoints"`);
  const own = ['auth', 'acl'].filter((section) => document[section] !== undefined);
  if (own.length > 0) call.terminal.err(`note: ${own.join(' and ')} are read by each node when it starts; apply leaves them alone`);
  await upload(call, '/api/endpoints/import', { configs, mode: 'replace' }, 'applied');
}

export const APPLY_COMMANDS: readonly Command[] = [
  {
    name: 'apply',
    usage: 'FILE',
    summary: 'makes the endpoints match a configuration file; one revision, all or nothing',
    details: ['FILE is a config.yaml. Endpoints that it does not name are removed; --dry-run shows what would change.'],
    examples: ['apply config.yaml --dry-run', 'apply config.yaml --reason "ticket 4711"'],
    options: [DRY_RUN, ...CHANGE_OPTIONS, DRAIN, FORCE],
    words: ['file'],
    connects: true,
    run: apply,
  },
];
