/** Reads a stream of server-sent events (HTML Living Standard, section 9.2). */

import type { IncomingMessage } from 'node:http';
import { CommandFailure, EXIT } from '../failure.ts';

export interface SentEvent {
  /** null when it has none */
  id: string | null;
  event: string;
  data: string;
}

/** The broker says something every 10 s, if only that it is there. */
const SILENCE_MS = 35_000;
/** Longest event. */
const EVENT_CHARACTERS_MAX = 8 * 1024 * 1024;

/** Resolves when the stream ends. @throws CommandFailure when nothing is heard for too long, or what comes is no stream of events */
export async function readEvents(response: IncomingMessage, onEvent: (event: SentEvent) => void): Promise<void> {
  let isSilent = false;
  const timer = setTimeout(() => {
    isSilent = true;
    response.destroy();
  }, SILENCE_MS);
  let pending = '';
  try {
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      timer.refresh();
      const blocks = (pending + chunk).split('\n\n');
      pending = blocks.pop() ?? '';
      if (pending.length > EVENT_CHARACTERS_MAX) throw new CommandFailure(EXIT.unreachable, 'what comes is no stream of events');
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event !== null) onEvent(event);
      }
    }
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    // a connection that breaks is the end of the stream, as far as its reader is concerned
  } finally {
    clearTimeout(timer);
  }
  if (isSilent) throw new CommandFailure(EXIT.unreachable, `nothing was heard for ${SILENCE_MS / 1000} s`);
}

/** Null for a comment. */
function parseEvent(block: string): SentEvent | null {
  const event: SentEvent = { id: null, event: 'message', data: '' };
  for (const line of block.split('\n')) {
    const [, field, value = ''] = /^([a-z]+):? ?(.*)$/s.exec(line) ?? [];
    if (field === 'id') event.id = value;
    else if (field === 'event') event.event = value;
    else if (field === 'data') event.data += value;
  }
  return event.data === '' ? null : event;
}
