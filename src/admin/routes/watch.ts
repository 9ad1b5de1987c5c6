/** GET /api/endpoints/watch: events of the endpoints as server-sent events (HTML Living Standard, section 9.2). */

import { z } from '@hono/zod-openapi';
import type { StreamEvent } from '../../answers/watch.ts';
import type { ControlPlane } from '../../control/contract/control-plane.ts';
import { FluxError } from '../../kernel/errors.ts';
import { type Route, readRoute } from '../http/route.ts';

const EVENT_STREAM = 'text/event-stream; charset=utf-8';
/** Interval of empty comment lines, which show proxies and readers that the stream is alive. */
const HEARTBEAT_MS = 10_000;
/** Most bytes that wait for one reader. */
const WAITING_BYTES_MAX = 1024 * 1024;

function parseLastId(header: string | null): number | null {
  if (header === null) return null;
  if (!/^\d{1,15}\d?$/.test(header)) {
    const message = 'Last-Event-ID must be the number of an event';
    throw new FluxError('invalid', message, { issues: [{ path: 'Last-Event-ID', message }] });
  }
  return Number(header);
}

function written({ event, id, ...data }: StreamEvent): string {
  return `${id === null ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** The event stream of one reader; it ends when the reader goes, is too slow, or the node stops. */
function stream(after: number | null, { watch, reads }: Pick<ControlPlane, 'watch' | 'reads'>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let heartbeat: NodeJS.Timeout | undefined;
  let stop = () => {};
  const end = (): void => {
    clearInterval(heartbeat);
    stop();
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        let isOpen = true;
        const close = (): void => {
          if (!isOpen) return;
          isOpen = false;
          end();
          controller.close();
        };
        const send = (text: string): void => {
          if (!isOpen) return;
          controller.enqueue(encoder.encode(text));
          if ((controller.desiredSize ?? 0) > 0) return;
          watch.countSlow();
          isOpen = false;
          end();
          controller.error(new Error('the reader is too slow'));
        };
        const begun = watch.subscribe(after, { onEvent: (event) => send(written(event)), onEnd: close });
        stop = begun.stop;
        if (!begun.isComplete) send(written({ event: 'incomplete', id: null, reason: 'events after Last-Event-ID are no longer kept' }));
        for (const event of begun.missed) send(written(event));
        const { node, version } = reads;
        send(written({ event: 'ready', id: begun.lastId, node, version, revision: reads.revision() }));
        heartbeat = setInterval(() => send(': \n\n'), HEARTBEAT_MS);
        heartbeat.unref();
      },
      cancel: end,
    },
    new ByteLengthQueuingStrategy({ highWaterMark: WAITING_BYTES_MAX }),
  );
}

export const watchRoutes = ({ watch, reads }: Pick<ControlPlane, 'watch' | 'reads'>): Route[] => [
  readRoute(
    {
      method: 'get',
      path: '/api/endpoints/watch',
      aliases: ['/endpoints/watch'],
      tag: 'Endpoints',
      summary:
        'Server-sent events `state`, `revision` and `drain`, each with an id. `Last-Event-ID` resumes within the last 1,000 events, else `incomplete` comes first. `ready` marks the beginning of live events',
      statuses: [503],
      query: z.object({}),
      answer: { raw: { [EVENT_STREAM]: z.string() } },
    },
    (_query, call) => {
      const after = parseLastId(call.lastEventId);
      return new Response(stream(after, { watch, reads }), { headers: { 'content-type': EVENT_STREAM, 'cache-control': 'no-store' } });
    },
  ),
];
