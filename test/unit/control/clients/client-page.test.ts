/** Pages of very many clients: the same as if all were sorted, and no turn of the thread is long. */

import { expect, test } from 'vitest';
import { byIdentifier, ClientPage, type ListedClient } from '../../../../src/control/clients/client-page.ts';
import { leastTurns, worstTurn } from '../../../kit/worst-turn.ts';

/** Milliseconds of processor time; to sort 100,000 in one go takes several times that. */
const TURN_MAX_MS = 60;

/** In no order, over three workers and two namespaces; some identifiers are in both. */
function clients(count: number): ListedClient<number>[] {
  return Array.from({ length: count }, (_, index) => {
    const name = (index * 7_919) % count;
    return { worker: index % 3, clientId: `device-${name % Math.ceil(count * 0.9)}-ü`, namespace: index % 2 === 0 ? 'default' : 'other' };
  });
}

async function pageOf(all: ListedClient<number>[], page: number, size: number) {
  const sorted = new ClientPage<number>((page - 1) * size, size);
  for (const worker of [0, 1, 2]) {
    for (const namespace of ['default', 'other']) {
      const own = all.filter((each) => each.worker === worker && each.namespace === namespace);
      await sorted.add(worker, namespace, own.map(({ clientId }) => clientId).join('\0'));
    }
  }
  return { data: await sorted.take(), total: sorted.total };
}

test.each([
  [0, 1, 100],
  [1, 1, 100],
  [1, 2, 1],
  [10, 2, 3],
  [10, 4, 3],
  [5_000, 1, 1],
  [5_000, 5_000, 1],
  [5_000, 5_001, 1],
  [5_000, 7, 333],
  [5_000, 5, 1_000],
])('of %i clients page %i of %i is that of a sorted list', async (count, page, size) => {
  const all = clients(count);
  const order = (list: ListedClient<number>[]) => list.map(({ clientId, namespace }) => `${clientId} ${namespace}`);
  const expected = [...all].sort(byIdentifier).slice((page - 1) * size, page * size);
  const { data, total } = await pageOf(all, page, size);
  expect(total).toBe(count);
  expect(order(data)).toEqual(order(expected));
});

test.each([1, 500, 1_000])('page %i of 100,000 clients is found in short turns', async (page) => {
  const lists = [0, 1, 2].map((worker) =>
    clients(100_000)
      .flatMap((each) => (each.worker === worker ? each.clientId : []))
      .join('\0'),
  );
  const find = async () => {
    const sorted = new ClientPage<number>((page - 1) * 100, 100);
    for (const [worker, list] of lists.entries()) await sorted.add(worker, 'default', list);
    return sorted.take();
  };
  const { ms } = await leastTurns(TURN_MAX_MS, async () => {
    const found = await worstTurn(find);
    expect(found.result).toHaveLength(100);
    return { ms: found.ms };
  });
  expect(ms).toBeLessThan(TURN_MAX_MS);
});
