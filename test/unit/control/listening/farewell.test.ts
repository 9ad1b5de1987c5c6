/** How clients leave a node that stops. */

import { expect, test } from 'vitest';
import { SHUTDOWN } from '../../../../src/control/listening/drain/drain-order.ts';
import { farewellOf } from '../../../../src/control/listening/drain/farewell.ts';

const OTHERS = [
  { name: 'b', address: '10.0.0.2' },
  { name: 'c', address: '10.0.0.3' },
];
const endpoint = (serverReference: string | null) => ({ serverReference, maxConnectionPerSecond: 50 });

test('a node that is alone closes at once', () => {
  expect(farewellOf(endpoint('${address}'), [], 5_000)(1_000)).toEqual(SHUTDOWN);
});

test('clients go no faster than the others let them in, and within the time', () => {
  const drain = farewellOf(endpoint(null), OTHERS, 5_000);
  expect(drain(0)).toEqual({ ms: 0, reasonCode: 0x98, serverReferences: [] });
  expect(drain(100).ms).toBe(1_000);
  expect(drain(100_000).ms).toBe(5_000);
});

test('each of the others is named, by address or by node', () => {
  const { reasonCode, serverReferences } = farewellOf(endpoint('${address}:8883'), OTHERS, 5_000)(1);
  expect([reasonCode, serverReferences]).toEqual([0x9c, ['10.0.0.2:8883', '10.0.0.3:8883']]);
  expect(farewellOf(endpoint('${node}.mqtt.example ${node}'), OTHERS, 0)(1).serverReferences[1]).toBe('c.mqtt.example c');
});
