/** Completion: what `__complete` answers, and that a real bash completes with it at the press of a tab. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../kit/free-port.ts';
import { useBroker } from '../../kit/lanes.ts';
import { until, within } from '../../kit/until.ts';
import { cleanEnvironment, commandIn, fluxmq, printed, ROOT } from './command.ts';

const held = useBroker(() => ({
  endpoints: [
    { id: 'first', enableAuth: false, isDefault: true },
    { id: 'sensors', enableAuth: false },
  ],
}));
const run = commandIn(() => held.broker.dir);

/** Candidates without their descriptions; the last word is the one at the cursor. */
async function complete(...words: string[]): Promise<string[]> {
  const { stdout } = await fluxmq(['__complete', ...words], { cwd: held.broker.dir });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t')[0]!);
}

describe('candidates', () => {
  test('commands', async () => {
    expect(await complete('')).toEqual(
      expect.arrayContaining(['start', 'check', 'endpoint', 'export', 'import', 'backup', 'restore', 'completion']),
    );
    expect(await complete('endpoint', 're')).toEqual(['remove']);
    expect(await complete('nonsense', '')).toEqual([]);
    expect(await complete('start', '--config', '')).toEqual([':file']);
  });

  test('options, their values, and none twice', async () => {
    expect(await complete('endpoint', 'list', '--')).toEqual(expect.arrayContaining(['--json', '--api', '--quiet']));
    expect(await complete('endpoint', 'list', '--json', '--j')).toEqual([]);
    expect(await complete('endpoint', 'add', '--file', '')).toEqual([':file']);
    expect(await complete('import', 'x.json', '--mode', '')).toEqual(['merge', 'replace']);
    expect(await complete('import', 'x.json', '--mode=r')).toEqual(['--mode=replace']);
  });

  test('endpoints of the broker by id and port, its revisions', async () => {
    const [first, second] = held.broker.ports.map(String);
    expect((await complete('endpoint', 'get', '')).toSorted()).toEqual(['first', 'sensors', first, second].toSorted());
    expect(await complete('endpoint', 'update', 's')).toEqual(['sensors']);
    expect(await complete('endpoint', 'remove', 'sensors', '')).toEqual([]);
    expect(await complete('endpoint', 'diff', '')).toEqual(['1']);
    expect(await complete('endpoint', 'diff', '1', 'n')).toEqual(['now']);
    expect(await complete('endpoint', 'plan', 'update', 'f')).toEqual(['first']);
    expect(await complete('endpoint', 'plan', 'roll')).toEqual(['rollback']);
    expect(await complete('acl', 't')).toEqual(['test']);
    expect(await complete('acl', 'test', 'first', '')).toEqual(['publish', 'subscribe']);
    expect(await complete('acl', 'test', 'first', 'publish', '')).toEqual([]);
    expect(await complete('endpoint', 'plan', 'rollback', '')).toEqual(['1']);
    expect(await complete('endpoint', 'plan', 'remove', 'first', '')).toEqual([]);
    expect(await complete('endpoint', 'get', '--api', `127.0.0.1:${await freePort()}`, '')).toEqual([]);
  });

  test('keys that are not given yet, and their values', async () => {
    expect(await complete('endpoint', 'update', 'sensors', 'max')).toEqual(
      expect.arrayContaining(['maxSessionSize=', 'maxConnectionSize=']),
    );
    expect(await complete('endpoint', 'update', 'sensors', 'wiretap=true', 'wire')).toEqual([]);
    expect(await complete('endpoint', 'update', 'sensors', 'wiretap=')).toEqual(['wiretap=true', 'wiretap=false', 'wiretap=null']);
    expect(await complete('endpoint', 'add', 'serverOptions.w')).toEqual(['serverOptions.workerGroupSize=']);
    expect(await complete('endpoint', 'plan', 'add', 'serverOptions.workerGroupSize=a')).toEqual(['serverOptions.workerGroupSize=auto']);
  });
});

describe('bash', () => {
  let folder: string;
  let bash: ChildProcess;
  let output = '';

  /** An interactive bash whose `fluxmq` completes for real, and prints the words that it is called with. */
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fluxmq-completion-'));
    mkdirSync(join(folder, 'bin'));
    symlinkSync(join(ROOT, 'fluxmq'), join(folder, 'bin/fluxmq'));
    const env = cleanEnvironment({
      PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
      FLUXMQ_API: held.broker.admin,
      TERM: 'dumb',
      PS1: '$ ',
      HISTFILE: '',
    });
    bash = spawn('script', ['-qec', 'bash --norc --noprofile -i', '/dev/null'], { cwd: folder, env });
    bash.stdout!.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    type('bind "set bell-style none"; eval "$(fluxmq completion bash)"');
    type('fluxmq() { if [[ $1 == __complete ]]; then command fluxmq "$@"; else printf "<%s>" "$@"; echo " called"; fi; }; echo rea""dy');
    await until('bash is ready', () => output.includes('ready'), 20_000);
  }, 30_000);

  afterAll(async () => {
    const ended = new Promise((resolve) => bash.once('close', resolve));
    type('exit');
    await within('end of bash', 10_000, ended);
    rmSync(folder, { recursive: true });
  });

  function type(line: string): void {
    bash.stdin!.write(`${line}\n`);
  }

  test.each([
    ['fluxmq endp\tlis\t--js\t', '<endpoint><list><--json>'],
    ['fluxmq endpoint upd\tsen\twire\tt\t', '<endpoint><update><sensors><wiretap=true>'],
    ['fluxmq endpoint add port=1 serverOptions.wo\tau\tid=x', '<endpoint><add><port=1><serverOptions.workerGroupSize=auto><id=x>'],
    ['fluxmq import --mode=rep\t', '<import><--mode=replace>'],
    ['fluxmq export --output bi\t', '<export><--output><bin/>'],
    ['fluxmq endpoint get --api=http://127.0.0.1:1 fir\tx', '<endpoint><get><--api=http://127.0.0.1:1><firx>'],
  ])('%j', async (keys, called) => {
    output = '';
    type(keys);
    await until(
      `${called} (${JSON.stringify(keys)})`,
      () => (output.includes(' called') ? true : Promise.reject(new Error(output))),
      15_000,
    );
    expect(output).toContain(`${called} called`);
  });
});

test('the scripts are printed without a broker, and bash takes its one without complaint', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) expect(printed(await run(`completion ${shell}`, { cwd: '/' }))).toContain('__complete');
  const script = printed(await run('completion bash'));
  expect(spawnSync('bash', ['-n'], { input: script, encoding: 'utf8', timeout: 10_000 })).toMatchObject({ status: 0, stderr: '' });
});
