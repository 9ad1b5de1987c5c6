/** `fluxmq endpoint rollback` and `confirm` against a broker: by plan, by question, by --yes. */

import { beforeAll, expect, test } from 'vitest';
import { freePort } from '../../kit/free-port.ts';
import { useBroker } from '../../kit/lanes.ts';
import { commandIn, onTerminal, printed } from './command.ts';

const held = useBroker(() => ({ endpoints: [{ id: 'first', enableAuth: false, isDefault: true }] }));
const run = commandIn(() => held.broker.dir);
let port: number;

beforeAll(async () => {
  port = await freePort();
});

async function json(line: string): Promise<unknown> {
  return JSON.parse(printed(await run(`${line} --json`)));
}

async function newest(): Promise<number> {
  return ((await json('endpoint history --limit 1')) as { revision: number }[])[0]!.revision;
}

test('rollback: of one endpoint, of all, by plan, with --yes', async () => {
  const base = await newest();
  printed(await run('endpoint update first maxQueuedMessages=10'));
  printed(await run(`endpoint add port=${port} id=extra host=127.0.0.1`));
  const plan = printed(await run(`endpoint rollback ${base} --dry-run`));
  expect(plan).toContain(`- extra (port ${port})\n`);
  expect(plan).not.toContain('(default)');
  expect(plan).toMatch(/^~ first \(port \d+\)\n {4}maxQueuedMessages +10 → 1000 /m);
  expect(plan).toContain('0 clients affected');
  expect(printed(await run(`endpoint plan rollback ${base}`))).toBe(plan);
  expect(await newest()).toBe(base + 2);
  const one = printed(await run(`endpoint rollback ${base} first --yes --reason oops`));
  expect(one).toContain(`rolled 1 endpoint back to revision ${base}, revision ${base + 3}`);
  expect(await json('endpoint get first')).toMatchObject({ endpoint: { maxQueuedMessages: 1000 } });
  expect(await json('endpoint history --limit 1')).toMatchObject([{ action: 'rollback', reason: 'oops' }]);
  expect(await json(`endpoint rollback ${base} --yes`)).toMatchObject({
    revision: base + 4,
    changes: [{ id: 'extra', action: 'removed' }],
  });
  expect(printed(await run(`endpoint rollback ${base} --yes`))).toContain('nothing to do');
  expect(await run('endpoint rollback 99999 --yes')).toMatchObject({ code: 1, stdout: '' });
});

test('rollback asks on a terminal, and changes nothing without a yes', async () => {
  printed(await run('endpoint update first maxQueuedMessages=11'));
  const base = await newest();
  printed(await run('endpoint update first maxQueuedMessages=12'));
  const no = await onTerminal(`endpoint rollback ${base}`, held.broker.dir, 'n');
  expect(no.output).toContain(`Roll back to revision ${base}? [y/N]`);
  expect(no.output).toContain('nothing was changed');
  expect(no.code).toBe(1);
  expect(await newest()).toBe(base + 1);
  const yes = await onTerminal(`endpoint rollback ${base}`, held.broker.dir, 'y');
  expect(yes.code).toBe(0);
  expect(await json('endpoint get first')).toMatchObject({ endpoint: { maxQueuedMessages: 11 } });
});

test('a change under --confirm-within says how to keep it, and confirm keeps it', async () => {
  const changed = await run('endpoint update first maxQueuedMessages=13 --confirm-within 1h');
  const revision = await newest();
  expect(printed(changed)).toContain(`revision ${revision}`);
  expect(changed.stderr).toMatch(
    new RegExp(`revision ${revision} is undone at \\S+Z unless confirmed: \\./fluxmq endpoint confirm ${revision}`),
  );
  expect(printed(await run(`endpoint confirm ${revision}`))).toBe(`confirmed revision ${revision}, which changed first\n`);
  expect(await run(`endpoint confirm ${revision}`)).toMatchObject({ code: 1, stdout: '' });
});
