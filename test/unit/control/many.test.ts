/** As many endpoints as a node may have: no change and no answer holds up the thread that serves all of them. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLocalStore } from '../../../src/storage/local/local-store.ts';
import { leastTurns, worstTurn } from '../../kit/worst-turn.ts';
import { context, startTestNode, type TestNode } from './kit.ts';

const COUNT = 1_900;
const FIRST_PORT = 30_000;
/** Milliseconds of processor time. The aim is 50; code that runs for the first time, and is watched by a test, takes longer. */
const TURN_MAX_MS = 120;
/** The same for answers; the metrics of all in one go take 55 to 90. */
const READ_TURN_MAX_MS = 40;

const configs = (more: Record<string, unknown> = {}, shift = 0) =>
  Array.from({ length: COUNT }, (_, index) => ({
    id: `e${index}`,
    port: FIRST_PORT + ((index + shift) % COUNT),
    host: '127.0.0.1',
    enabled: false,
    ...more,
  }));

describe('many endpoints', () => {
  let folder: string;
  let node: TestNode;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fluxmq-many-'));
    node = await startTestNode({ store: await openLocalStore({ dataPath: folder }) });
  });
  afterEach(async () => {
    await node.stop(5_000);
    await node.store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const asked = (body: Record<string, unknown>) => worstTurn(() => node.control.changes.importAll(body, context({ timeoutMs: 60_000 })));

  /** From no endpoint to one. @param from the newest revision. @returns the worst turn of each change */
  async function changeAll(from: number): Promise<Record<string, number>> {
    const plan = await worstTurn(() => node.control.changes.plan({ action: 'import', configs: configs() }, context()));
    expect(plan.result.changes).toHaveLength(COUNT);
    const added = await asked({ configs: configs() });
    expect(added.result).toMatchObject({ added: COUNT, revision: from + 1 });
    const changed = await asked({ configs: configs({ maxConnectionSize: 7 }) });
    expect(changed.result).toMatchObject({ updated: COUNT, revision: from + 2 });
    const moved = await asked({ configs: configs({}, 1) });
    expect(moved.result).toMatchObject({ updated: COUNT, revision: from + 3 });
    const undone = await worstTurn(() => node.control.changes.rollback({ revision: from + 2 }, context({ timeoutMs: 60_000 })));
    expect(undone.result.revision).toBe(from + 4);
    const removed = await asked({ configs: [{ id: 'e0', port: FIRST_PORT }], mode: 'replace' });
    expect(removed.result).toMatchObject({ removed: COUNT - 1, revision: from + 5 });
    return { plan: plan.ms, added: added.ms, changed: changed.ms, moved: moved.ms, undone: undone.ms, removed: removed.ms };
  }

  test('are imported, changed, moved, planned, undone and removed in turns', async () => {
    let revision = 0;
    const turns = await leastTurns(TURN_MAX_MS, async () => {
      if (revision > 0) await node.control.changes.remove({ id: 'e0' }, context());
      const found = await changeAll(revision);
      revision += 6;
      return found;
    });
    for (const [what, ms] of Object.entries(turns)) expect(ms, what).toBeLessThan(TURN_MAX_MS);
  }, 120_000);

  test('are read in turns', async () => {
    await node.control.changes.importAll({ configs: configs() }, context({ timeoutMs: 60_000 }));
    const turns = await leastTurns(READ_TURN_MAX_MS, async () => {
      const metrics = await worstTurn(() => node.control.reads.metrics());
      expect(metrics.result).toHaveLength(COUNT);
      const text = await worstTurn(() => node.control.reads.prometheus());
      let lines = 0;
      const health = await worstTurn(async () => node.control.reads.health());
      expect(health.result).toMatchObject({ status: 'ok', endpoints: { total: COUNT, running: 0 } });
      for (const piece of text.result) {
        expect(piece.length).toBeLessThan(128 * 1024);
        lines += piece.split('\n').length;
      }
      expect(lines).toBeGreaterThan(COUNT * 50);
      return { metrics: metrics.ms, text: text.ms, health: health.ms };
    });
    for (const [what, ms] of Object.entries(turns)) expect(ms, what).toBeLessThan(READ_TURN_MAX_MS);
  }, 60_000);

  test('keep a change that is made while a file with them is being read', async () => {
    await node.control.changes.importAll({ configs: configs() }, context({ timeoutMs: 60_000 }));
    const importing = node.control.changes.importAll({ configs: configs({ maxConnectionSize: 7 }) }, context({ timeoutMs: 60_000 }));
    await new Promise((resolve) => setImmediate(resolve));
    await node.control.changes.update({ id: 'e1', wiretap: true }, context());
    await importing;
    expect(node.control.reads.get({ id: 'e1' }).endpoint).toMatchObject({ maxConnectionSize: 7, wiretap: true });
  }, 60_000);

  test('are replaced by exactly what a file says, also when one comes while it is being read', async () => {
    await node.control.changes.importAll({ configs: configs() }, context({ timeoutMs: 60_000 }));
    const replacing = node.control.changes.importAll(
      { configs: configs({ maxConnectionSize: 7 }), mode: 'replace' },
      context({ timeoutMs: 60_000 }),
    );
    await new Promise((resolve) => setImmediate(resolve));
    await node.control.changes.add({ id: 'late', port: FIRST_PORT + COUNT, host: '127.0.0.1', enabled: false }, context());
    await replacing;
    expect(() => node.control.reads.get({ id: 'late' })).toThrow('no endpoint late');
    expect(node.control.reads.list()).toHaveLength(COUNT);
  }, 60_000);
});
