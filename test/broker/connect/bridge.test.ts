/** A bridge of mosquitto, as it is configured by default: it names itself in the protocol level, and its will is under $SYS. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../kit/free-port.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { startMosquitto } from '../../kit/mosquitto.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';

const held = useBroker(() => ({ endpoints: [{ enableAuth: false }] }));

describe.each(['mqttv31', 'mqttv311', 'mqttv50'])('a bridge with %s', (version) => {
  const topic = uid('bridge/');
  let port = 0;
  let bridge: ChildProcess | null = null;
  beforeAll(async () => {
    port = await freePort();
    bridge = await startMosquitto(
      [{ port, useWebsocket: false }],
      [
        `connection ${version}`,
        `address 127.0.0.1:${held.broker.ports[0]}`,
        `topic ${topic}/up out 1`,
        `topic ${topic}/down in 1`,
        `bridge_protocol_version ${version}`,
        'restart_timeout 1',
      ],
    );
  });
  afterAll(async () => {
    if (bridge === null || bridge.exitCode !== null) return;
    bridge.kill('SIGKILL');
    await once(bridge, 'exit');
  });

  // A message published before the bridge is connected goes nowhere.
  async function carries(from: RawClient, to: RawClient, name: string): Promise<void> {
    await to.subscribe(`${topic}/${name}`, 1);
    const arrives = async (): Promise<boolean> => {
      await from.publish(`${topic}/${name}`, name, { qos: 1 });
      return to.inbox.length > 0;
    };
    await until(`a message on ${name}`, arrives, 25_000, 300);
    expect((await to.take()).payload.toString()).toBe(name);
  }

  test('comes again in the form that is understood, and takes messages over', async () => {
    await carries(await connected('tcp', held.broker.ports[0]!, 5), await connected('tcp', port, 4), 'down');
  });

  test('and brings messages', async () => {
    await carries(await connected('tcp', port, 4), await connected('tcp', held.broker.ports[0]!, 5), 'up');
  });
});
