/** Parts that the commands about users share: who is meant, and what a change has done. */

import type { UserChangeAnswer } from '../../../answers/users.ts';
import type { CommandCall } from '../../command.ts';
import { usageFailure } from '../../failure.ts';
import type { OptionSpec } from '../../option.ts';
import { countOf } from '../../print/changes.ts';
import { printable } from '../../terminal.ts';
import { printedAsJson } from '../common.ts';

export const NAMESPACE: OptionSpec = { name: 'namespace', value: 'NAME', text: 'the namespace of the user; default: default' };
export const BY_CLIENT: OptionSpec = { name: 'client', text: 'NAME is a client identifier, not a user name' };
/** Options of every command about one user. */
export const WHO_OPTIONS: readonly OptionSpec[] = [BY_CLIENT, NAMESPACE];

/** The user that the words and options name. @throws CommandFailure (usage) */
export function who({ words, options }: CommandCall): { username?: string; clientId?: string; namespace?: string } {
  const [name, ...surplus] = words;
  // A word too many may be a password: it is not repeated.
  if (surplus.length > 0) throw usageFailure('too many arguments: the password is typed, or read from standard input');
  if (name === undefined) throw usageFailure('which user?');
  const namespace = options.text('namespace');
  return { [options.has('client') ? 'clientId' : 'username']: name, ...(namespace === undefined ? {} : { namespace }) };
}

/** Sends a change of one user and says what has happened. */
export async function changeUser(call: CommandCall, path: string, body: Record<string, unknown>, done: string): Promise<void> {
  const reason = call.options.text('reason');
  const ifMatch = call.options.text('if-match');
  const details = { isChange: true, ...(ifMatch === undefined ? {} : { headers: { 'if-match': ifMatch === '*' ? '*' : `"${ifMatch}"` } }) };
  const answer = (await call.api.post(
    path,
    { ...body, ...(call.options.has('kick') ? { kick: true } : {}), ...(reason === undefined ? {} : { reason }) },
    details,
  )) as UserChangeAnswer;
  warnOfNodes(call, answer);
  for (const { node, reason: why } of answer.unreachable ?? [])
    call.terminal.err(printable(`warning: clients on node ${node} may still be connected: ${why}`));
  if (printedAsJson(call, answer) || call.options.has('quiet')) return;
  const kicked = answer.kicked === undefined ? '' : `, disconnected ${countOf(answer.kicked, 'client')}`;
  call.terminal.out(printable(`${done} ${call.words[0]}, revision ${answer.revision}${kicked}`));
}

/** Names the nodes that do not know a change yet. */
export function warnOfNodes({ terminal }: CommandCall, { nodes }: Pick<UserChangeAnswer, 'nodes'>): void {
  for (const { node, state, reason } of nodes)
    if (state !== 'applied') terminal.err(printable(`warning: node ${node} does not know it yet: ${reason ?? state}`));
}
