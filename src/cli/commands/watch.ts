/** `endpoint watch`: prints events of the endpoints as they happen. */

import type { StreamEvent, WatchEvent } from '../../answers/watch.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { pause } from '../../kernel/deadline.ts';
import type { SentEvent } from '../api/events.ts';
import type { Command, CommandCall } from '../command.ts';
import { CommandFailure, EXIT } from '../failure.ts';
import type { TargetKey } from '../input/key-values.ts';
import { printable } from '../terminal.ts';
import { optionalTarget, timeText } from './common.ts';

/** How long the broker may be away before the command gives up, and the pause between attempts. */
const AWAY_MS = 60_000;
const PAUSE_MS = 1_000;

/** Whether an event is about the endpoint. A revision is when one of its changes is. */
function concerns(target: TargetKey | null, event: WatchEvent): boolean {
  if (target === null) return true;
  const isMeant = (id: string, port: number): boolean => (target.id === undefined ? port === target.port : id === target.id);
  if (event.event === 'revision') return event.changes.some(({ id, port }) => isMeant(id, port));
  return isMeant(event.endpoint, event.port);
}

/** An event as one line. */
function lineOf(event: StreamEvent): string {
  const when = 'at' in event ? `${timeText(event.at)}  ` : '';
  switch (event.event) {
    case 'state':
      return `${when}${placeOf(event)} ${event.state}, revision ${event.revision}${event.reason === null ? '' : `: ${event.reason}`}`;
    case 'revision':
      return `${when}revision ${event.revision}: ${event.changes.map(({ id, change }) => `${id} ${change}`).join(', ')}`;
    case 'drain':
      return `${when}${placeOf(event)} drains: ${event.left} of ${event.total} clients left${event.ended ? ', ended' : ''}`;
    case 'ready':
      return `watching ${event.node} from revision ${event.revision} on`;
    case 'incomplete':
      return `incomplete: ${event.reason}`;
    default:
      // a newer broker may send more
      return `${when}${(event satisfies never as { event: string }).event}`;
  }
}

function placeOf({ endpoint, port }: { endpoint: string; port: number }): string {
  return `${endpoint} (port ${port})`;
}

async function watch(call: CommandCall): Promise<void> {
  const { options, terminal, api } = call;
  const target = optionalTarget(call.words);
  let lastId: string | null = null;
  let away: number | null = null;
  const onEvent = (sent: SentEvent): void => {
    if (sent.id !== null) lastId = sent.id;
    const data = JSON.parse(sent.data) as object;
    const event = { event: sent.event, id: sent.id === null ? null : Number(sent.id), ...data } as StreamEvent;
    const isNews = event.event !== 'ready' && event.event !== 'incomplete';
    if (isNews && !concerns(target, event)) return;
    if (options.has('json')) terminal.out(JSON.stringify({ event: sent.event, id: sent.id, ...data }));
    else if (isNews) terminal.out(printable(lineOf(event)));
    else if (!options.has('quiet')) terminal.err(printable(lineOf(event)));
    away = null;
  };
  for (;;) {
    try {
      await api.events('/api/endpoints/watch', lastId, onEvent);
      away ??= steadyNow();
      terminal.err('the connection has ended: trying again');
    } catch (error) {
      // Only a command that was connected before waits for the broker to return.
      const mayReturn = error instanceof CommandFailure && error.exitCode === EXIT.unreachable && lastId !== null;
      away ??= steadyNow();
      if (!mayReturn || steadyNow() - away > AWAY_MS) throw error;
    }
    await pause(PAUSE_MS);
  }
}

export const WATCH_COMMANDS: readonly Command[] = [
  {
    name: 'endpoint watch',
    usage: '[PORT|ID]',
    summary: 'prints states, revisions and drains as they happen, until interrupted',
    details: ['With --json, one object per line. The command reconnects to a broker that is away for less than a minute.'],
    examples: ['endpoint watch', 'endpoint watch sensors --json'],
    options: [],
    words: ['target'],
    connects: true,
    run: watch,
  },
];
