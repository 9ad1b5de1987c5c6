/** Topic names and filters of as many levels as their length allows: the standards set no other limit [section 4.7.3]. */

import { describe, expect, test } from 'vitest';
import { LANES, useLanes } from '../../kit/lanes.ts';
import { uid } from '../../kit/until.ts';

const kit = useLanes({ sessionPersistence: true });
const BYTES_MAX = 65_535;

/** Begins with a name of its own and has as many levels as fit. */
function deepest(level: string, last = ''): string {
  const first = uid('deep');
  const room = BYTES_MAX - first.length - (last === '' ? 0 : last.length + 1);
  const levels = Math.floor(room / (level.length + 1));
  return `${first}${`/${level}`.repeat(levels)}${last === '' ? '' : `/${last}`}`;
}

describe.each(LANES)('very many levels, $name', (lane) => {
  test('a topic of tens of thousands of levels is carried to exact and to wildcard filters', async () => {
    const from = await kit.client(lane);
    const to = await kit.client(lane);
    const topic = deepest('');
    const first = topic.slice(0, topic.indexOf('/'));
    await to.subscribe([topic, `${first}/#`, `${first}${'/+'.repeat(1000)}/#`], 1);
    await from.publish(topic, 'deep', { qos: 1 });
    expect(await to.take()).toMatchObject({ topic, qos: 1 });
    await to.unsubscribe(topic, `${first}/#`, `${first}${'/+'.repeat(1000)}/#`);
    await from.publish(topic, 'nobody is left', { qos: 1 });
    await to.silence();
  });

  test('a filter of tens of thousands of wildcards matches what has as many levels, and nothing else', async () => {
    const from = await kit.client(lane);
    const to = await kit.client(lane);
    const filter = deepest('+');
    const topic = filter.replaceAll('+', 'x');
    await to.subscribe(filter, 1);
    await from.publish(`${topic.slice(0, -2)}`, 'a level less', { qos: 1 });
    await from.publish(topic, 'all levels', { qos: 1 });
    expect((await to.take()).payload.toString()).toBe('all levels');
    await to.silence();
    expect((await to.unsubscribe(filter)).type).toBe('unsuback');
    await from.publish(topic, 'nobody is left', { qos: 1 });
    await to.silence();
  });

  test('a retained message under such a topic is kept, found by wildcards and removed', async () => {
    const from = await kit.client(lane);
    const topic = deepest('');
    const first = topic.slice(0, topic.indexOf('/'));
    await from.publish(topic, 'kept', { qos: 1, retain: true });
    for (const filter of [topic, `${first}/#`, `${first}${'/+'.repeat(5000)}/#`]) {
      const to = await kit.client(lane);
      await to.subscribe(filter, 1);
      expect(await to.take()).toMatchObject({ topic, retain: true });
    }
    await from.publish(topic, '', { qos: 1, retain: true });
    const to = await kit.client(lane);
    await to.subscribe(`${first}/#`, 1);
    await to.silence();
  });

  test('such a subscription is part of a session that outlives its connection', async () => {
    const filter = deepest('+', '#');
    const clientId = uid('deep-c');
    const stays = lane.version === 5 ? { properties: { sessionExpiry: 100 } } : {};
    const first = await kit.client(lane, { clientId, clean: false, ...stays });
    await first.subscribe(filter, 1);
    await first.cut();
    const from = await kit.client(lane);
    await from.publish(filter.replaceAll(/[+#]/g, 'x'), 'waited', { qos: 1 });
    const again = await kit.client(lane, { clientId, clean: false, ...stays });
    expect((await again.take()).payload.toString()).toBe('waited');
  });
});
