/** A reader of server-sent events that keeps all events. */

import { request } from 'node:http';
import { until } from './until.ts';

export interface SentEvent {
  id: number | null;
  event: string;
  data: Record<string, unknown>;
}

export class EventReader {
  readonly events: SentEvent[] = [];
  comments = 0;
  isEnded = false;
  status = 0;
  contentType = '';
  #text = '';
  #stop: () => void = () => undefined;
  #pause: () => void = () => undefined;

  /** Resolves when the headers of the answer have arrived. */
  static open(url: string, headers: Record<string, string> = {}): Promise<EventReader> {
    const reader = new EventReader();
    return new Promise((resolve, reject) => {
      const sent = request(url, { headers, agent: false }, (answer) => {
        reader.status = answer.statusCode ?? 0;
        reader.contentType = answer.headers['content-type'] ?? '';
        answer.setEncoding('utf8').on('data', (chunk: string) => reader.#take(chunk));
        answer.on('error', () => undefined);
        answer.on('close', () => {
          reader.isEnded = true;
        });
        reader.#stop = () => sent.destroy();
        reader.#pause = () => answer.pause();
        resolve(reader);
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  #take(chunk: string): void {
    this.#text += chunk;
    const blocks = this.#text.split('\n\n');
    this.#text = blocks.pop() ?? '';
    for (const block of blocks) {
      if (block.startsWith(':')) {
        this.comments++;
        continue;
      }
      const fields = Object.fromEntries(
        block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
      const id = fields['id'] === undefined ? null : Number(fields['id']);
      this.events.push({ id, event: fields['event'] ?? '', data: JSON.parse(fields['data'] ?? '{}') as Record<string, unknown> });
    }
  }

  /** The first event of that name for which `matches` returns true. */
  find(event: string, matches: (data: Record<string, unknown>) => boolean = () => true, timeoutMs = 5000): Promise<SentEvent> {
    return until(`event ${event}`, () => this.events.find((each) => each.event === event && matches(each.data)), timeoutMs, 5);
  }

  /** Stops reading without closing the connection. */
  pause(): void {
    this.#pause();
  }

  close(): void {
    this.#stop();
  }
}
