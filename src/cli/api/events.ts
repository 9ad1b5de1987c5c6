/** Reads a stream of server-sent events (HTML Living Standard, section 9.2). */

import type { IncomingMessage } from 'node:http';
import { CommandFailure, EXIT } from '../failure.ts';

export interface SentEvent {
  /** null for an event without an id */
  id: string | null;
  event: string;
  data: string;
}

/** The broker sends a sign of life every 10 s; a longer silence means that the connection is dead. */
const SILENCE_MS = 35_000;
/** Longest event, characters. */
const EVENT_CHARACTERS_MAX = 8 * 1024 * 1024;

/** Resolves when the stream ends. @throws CommandFailure when the stream is silent for too long, or is no event stream */
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
      if (pending.length > EVENT_CHARACTERS_MAX) throw new CommandFailure(EXIT.unreachable, 'the answer is not an event stream');
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event !== null) onEvent(event);
      }
    }
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    // a broken connection counts as the end of the stream
  } finally {
    clearTimeout(timer);
  }
  if (isSilent) throw new CommandFailure(EXIT.unreachable, `the broker sent nothing for ${SILENCE_MS / 1000} s`);
}

/** Null for a block without data, such as a comment. */
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
