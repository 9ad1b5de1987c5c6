/** The watch stream by itself: what waits for a reader is bounded, and whoever does not read is cut off and counted. */

import { expect, test } from 'vitest';
import type { AdminApp } from '../../../src/admin/app.ts';
import type { WatchEvent } from '../../../src/answers/watch.ts';
import type { Watcher } from '../../../src/control/contract/event-watch.ts';
import { appWith } from './stand-in.ts';

function watching(): { app: AdminApp; watchers: Watcher[]; tooSlow: () => number; stopped: () => number } {
  const watchers: Watcher[] = [];
  let [slow, stopped] = [0, 0];
  const { app } = appWith(
    {},
    {
      subscribe: (_after, watcher) => {
        watchers.push(watcher);
        return { lastId: 5, isComplete: true, missed: [], stop: () => void stopped++ };
      },
      countSlow: () => void slow++,
    },
  );
  return { app, watchers, tooSlow: () => slow, stopped: () => stopped };
}

const event = (id: number): WatchEvent => ({
  id,
  at: '2026-01-01T00:00:00.000Z',
  node: 'n1',
  event: 'state',
  endpoint: 'e',
  port: 1883,
  state: 'running',
  revision: 1,
  reason: 'x'.repeat(1000),
});

test('a reader that does not read is cut off when 1 MiB waits, and counted', async () => {
  const { app, watchers, tooSlow, stopped } = watching();
  const response = await app.request('/api/endpoints/watch', { headers: { host: 'localhost' } });
  const [watcher] = watchers;
  let sent = 0;
  while (tooSlow() === 0 && sent < 5000) watcher!.onEvent(event(10 + sent++));
  expect(sent).toBeGreaterThan(800);
  expect(sent).toBeLessThan(1100);
  expect([tooSlow(), stopped()]).toEqual([1, 1]);
  watcher!.onEvent(event(9999));
  await expect(response.text()).rejects.toThrow('too slow');
});

test('a reader that reads is not, however much there is; when the node stops, its stream ends in order', async () => {
  const { app, watchers, tooSlow } = watching();
  const response = await app.request('/api/endpoints/watch', { headers: { host: 'localhost' } });
  const reader = response.body!.getReader();
  let bytes = 0;
  for (let n = 0; n < 3000; n++) {
    watchers[0]!.onEvent(event(10 + n));
    bytes += (await reader.read()).value?.length ?? 0;
  }
  expect(tooSlow()).toBe(0);
  watchers[0]!.onEnd();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) bytes += chunk.value.length;
  expect(bytes).toBeGreaterThan(3_000_000);
});

test('a reader that goes is unsubscribed', async () => {
  const { app, stopped } = watching();
  const response = await app.request('/api/endpoints/watch', { headers: { host: 'localhost' } });
  await response.body!.cancel();
  expect(stopped()).toBe(1);
});

test('HEAD leaves no watcher behind', async () => {
  const { app, watchers, stopped } = watching();
  for (let n = 1; n <= 300; n++) {
    const response = await app.request('/api/endpoints/watch', { method: 'HEAD', headers: { host: 'localhost' } });
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
      '',
    ]);
  }
  expect(stopped()).toBe(watchers.length);
});
