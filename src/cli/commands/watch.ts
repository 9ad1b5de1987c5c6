/** `endpoint watch`: prints events of the endpoints as they happen. */

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

/** The fields of the events that are printed. */
interface EventData {
  at?: string;
  node?: string;
  endpoint?: string;
  port?: number;
  state?: string;
  revision?: number;
  reason?: string | null;
  changes?: { id: string; port: number; change: string }[];
  total?: number;
  left?: number;
  ended?: boolean;
}

/** Whether an event is about the endpoint. A revision is when one of its changes is. */
function concerns(target: TargetKey | null, data: EventData): boolean {
  if (target === null) return true;
  const { endpoint, port } = data;
  const isMeant = (id: string | undefined, at: number | undefined): boolean =>
    target.id === undefined ? at === target.port : id === target.id;
  return isMeant(endpoint, port) || (data.changes ?? []).some((change) => isMeant(change.id, change.port));
}

/** An event as one line. */
function lineOf(event: string, data: EventData): string {
  const when = data.at === undefined ? '' : `${timeText(data.at)}  `;
  const who = `${data.endpoint} (port ${data.port})`;
  switch (event) {
    case 'state':
      return `${when}${who} ${data.state}, revision ${data.revision}${typeof data.reason === 'string' ? `: ${data.reason}` : ''}`;
    case 'revision':
      return `${when}revision ${data.revision}: ${(data.changes ?? []).map(({ id, change }) => `${id} ${change}`).join(', ')}`;
    case 'drain':
      return `${when}${who} drains: ${data.left} of ${data.total} clients left${data.ended === true ? ', ended' : ''}`;
    case 'ready':
      return `watching ${data.node} from revision ${data.revision} on`;
    default:
      return `${when}${event}${typeof data.reason === 'string' ? `: ${data.reason}` : ''}`;
  }
}

async function watch(call: CommandCall): Promise<void> {
  const { options, terminal, api } = call;
  const target = optionalTarget(call.words);
  let lastId: string | null = null;
  let away: number | null = null;
  const onEvent = ({ id, event, data: text }: SentEvent): void => {
    if (id !== null) lastId = id;
    const data = JSON.parse(text) as EventData;
    const isNews = event !== 'ready' && event !== 'incomplete';
    if (isNews && !concerns(target, data)) return;
    if (options.has('json')) terminal.out(JSON.stringify({ event, id, ...data }));
    else if (isNews) terminal.out(printable(lineOf(event, data)));
    else if (!options.has('quiet')) terminal.err(printable(lineOf(event, data)));
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
