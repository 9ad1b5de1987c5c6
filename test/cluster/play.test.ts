/** `npm run cluster` as a user runs it: what it prints works when it is pasted, and Ctrl-C leaves nothing behind. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { until } from '../kit/until.ts';
import { FIRST_LINE, LAST_LINE } from './play/guide.ts';

const ROOT = resolve(import.meta.dirname, '../..');
let child: ChildProcess | null = null;
let output = '';
afterEach(() => {
  // Its own children die with it.
  if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, 'SIGKILL');
});

function run(command: string): Promise<string> {
  return new Promise((done, fail) => {
    execFile('bash', ['-ec', `set -o pipefail\n${command}`], { timeout: 40_000 }, (error, stdout, stderr) => {
      if (error === null) done(stdout);
      else fail(new Error(`${command}: ${error.message}\n${stdout}${stderr}\n${output}`));
    });
  });
}

/** Processes that run under the npm of this test: its session. */
function processesOf(session: number): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      // after the last ')': state, parent, group, session
      return (
        Number(
          readFileSync(`/proc/${name}/stat`, 'latin1')
            .replace(/^.*\) /s, '')
            .split(' ')[3],
        ) === session
      );
    } catch {
      return false; // it has ended since
    }
  });
}

/** Processes in whose command line the folder stands, or that stand in it. */
function commandsWith(text: string): string[] {
  const commands = readdirSync('/proc').map((name) => {
    try {
      return /^\d+$/.test(name) ? readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ') : '';
    } catch {
      return '';
    }
  });
  return commands.filter((command) => command.includes(text));
}

interface Answer {
  code: number;
  data: { nodes: { node: string; state: string }[]; inStep: boolean };
}

test('three nodes come up, every printed command works, and Ctrl-C ends all of it', async () => {
  // A session of its own, as a terminal has one: Ctrl-C goes to the whole foreground group.
  child = spawn('npm', ['run', 'cluster'], { cwd: ROOT, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const started = child;
  await until(
    'it is up',
    () => {
      if (started.exitCode !== null) throw new Error(output);
      return output.includes(LAST_LINE);
    },
    120_000,
  );
  const [, folder = ''] = /^ {2}logs +(\S+)\/node-/m.exec(output) ?? [];
  expect(existsSync(folder)).toBe(true);
  const part = output.slice(output.indexOf(FIRST_LINE) + FIRST_LINE.length, output.indexOf(LAST_LINE));
  const commands = part.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  expect(commands.length).toBeGreaterThan(12);
  const said: string[] = [];
  for (const command of commands) said.push(await run(command));
  const after = (word: string) => JSON.parse(said[commands.findIndex((command) => command.includes(word))] ?? '') as Answer;
  const statesOf = ({ data }: Answer) => Object.fromEntries(data.nodes.map(({ node, state }) => [node, state]));
  const all = { 'node-1': 'applied', 'node-2': 'applied', 'node-3': 'applied' };
  expect(after('/add')).toMatchObject({ code: 200 });
  expect(statesOf(after('/add'))).toEqual(all);
  expect(statesOf(after('policy=all'))).toEqual(all);
  expect(statesOf(after('"maxConnectionSize":60}'))).toEqual({ ...all, 'node-3': 'pending' });
  expect(said[commands.findIndex((command) => command.includes('mosquitto_sub'))]).toBe('world\n');
  expect(after('timeout=3s')).toMatchObject({ code: 200 });
  expect(after('/remove')).toMatchObject({ code: 200 });
  for (const answer of said.filter((text) => text.startsWith('{'))) expect((JSON.parse(answer) as Answer).code).toBe(200);
  expect(output).toContain('node-3 has ended (SIGKILL); it is started again in 5 s');
  expect(output).toContain('node-3 is back');

  process.kill(-started.pid!, 'SIGINT');
  await until('its end', () => started.exitCode !== null || started.signalCode !== null, 40_000);
  await until('its last word', () => output.includes('Everything has ended.'));
  expect(existsSync(folder)).toBe(false);
  await until('no process is left', () => processesOf(started.pid!).length === 0 && commandsWith(folder).length === 0, 10_000);
}, 300_000);
