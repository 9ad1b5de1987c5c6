/** Runs every step of the tests, or those named, and ends with one line of sums: `scripts/test [STEP...] [vitest options]`. */

import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const REPORTS = join(ROOT, '.prepare', `test.${process.pid}`);
/** Node's compile cache for the hundreds of processes and threads of a run. It saves a tenth of the CPU time of each start. */
const COMPILE_CACHE = join(ROOT, '.prepare', 'compile-cache');
/** The temporary files of everything that this run starts. They go with it, also those of a process that was killed. */
const FILES = mkdtempSync(join(tmpdir(), 'fluxmq-run-'));
// Database servers have a user of their own when root runs the tests.
chmodSync(FILES, 0o755);
const STEP_DEADLINE_MS = 900_000;
/** Lines of each failure's message and stack that are said once more at the end. */
const FAILURE_LINES = 12;

interface Step {
  name: string;
  /** commands in order; the first that fails ends the step */
  commands: string[][];
  /** of a vitest step: what counts its tests */
  report: string | null;
}

interface Outcome {
  step: string;
  passed: number;
  failed: number;
  /** each test that failed, with the first lines of why */
  failures: string[];
  ok: boolean;
}

/** The part of vitest's JSON report that is read here. */
interface Report {
  numPassedTests: number;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
}

function command(name: string, ...args: string[]): Step {
  return { name, commands: [[name, ...args]], report: null };
}

function vitest(name: string): Step {
  const report = join(REPORTS, `${name}.json`);
  return {
    name,
    commands: [['vitest', 'run', '--project', `${name}*`, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`]],
    report,
  };
}

const STEPS: Step[] = [
  { ...command('tsc', '--noEmit'), name: 'types' },
  {
    name: 'lint',
    commands: [
      ['biome', 'check', '.'],
      ['knip', '--no-progress'],
    ],
    report: null,
  },
  vitest('layers'),
  vitest('unit'),
  vitest('contract'),
  vitest('broker'),
  vitest('admin'),
  vitest('cluster'),
  vitest('tour'),
];

/** Leading words that are step names choose steps; what follows goes to vitest, and then only vitest steps run unless named. */
function choose(args: string[]): { steps: Step[]; rest: string[] } {
  const named = new Set<string>();
  let at = 0;
  for (; at < args.length; at++) {
    const word = args[at] ?? '';
    if (word === '--') continue;
    if (!STEPS.some((step) => step.name === word)) break;
    named.add(word);
  }
  const rest = args.slice(at);
  const steps = STEPS.filter((step) => (named.size > 0 ? named.has(step.name) : rest.length === 0 || step.report !== null));
  return { steps, rest };
}

function execute([program, ...args]: string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const env = { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env, TMPDIR: FILES, KIT_PORTS: tmpdir() };
    const child = spawn(program ?? '', args, { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'], timeout: STEP_DEADLINE_MS });
    child.once('error', (error) => {
      process.stderr.write(`${program}: ${error.message}\n`);
      resolve(false);
    });
    child.once('exit', (code, signal) => {
      if (signal !== null) process.stderr.write(`${program} ended by ${signal}\n`);
      resolve(code === 0);
    });
  });
}

function failure(step: string, file: string, test: string, why: string): string {
  const lines = why.trim().split('\n').slice(0, FAILURE_LINES);
  return [`FAILED ${step}: ${relative(ROOT, file)}${test === '' ? '' : ` > ${test}`}`, ...lines.map((line) => `    ${line}`)].join('\n');
}

/** Tests that passed and failed; a file that could not even be loaded counts as one failed test. */
function count(step: string, report: string): Omit<Outcome, 'step' | 'ok'> {
  if (!existsSync(report)) return { passed: 0, failed: 0, failures: [] };
  const read = JSON.parse(readFileSync(report, 'utf8')) as Report;
  const failures = read.testResults.flatMap((file) => {
    const failed = file.assertionResults.filter((test) => test.status === 'failed');
    if (file.status === 'failed' && failed.length === 0) return [failure(step, file.name, '', file.message)];
    return failed.map((test) => failure(step, file.name, test.fullName, test.failureMessages.join('\n')));
  });
  return { passed: read.numPassedTests, failed: failures.length, failures };
}

async function perform(step: Step, rest: string[]): Promise<Outcome> {
  process.stdout.write(`\n== ${step.name}\n`);
  const started = performance.now();
  let ok = true;
  for (const words of step.commands) {
    const passOn = step.report !== null && rest.length > 0 ? [...rest, '--passWithNoTests'] : [];
    ok = ok && (await execute([...words, ...passOn]));
  }
  const sums = step.report === null ? { passed: 0, failed: 0, failures: [] } : count(step.name, step.report);
  // so that the last line never says "0 failed" when the exit code says otherwise
  if (!ok && sums.failed === 0) sums.failed = 1;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`== ${step.name}: ${ok ? 'passed' : 'FAILED'} in ${seconds} s\n`);
  return { step: step.name, ...sums, ok };
}

process.on('exit', () => {
  for (const folder of [REPORTS, FILES]) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));
mkdirSync(REPORTS, { recursive: true });
const { steps, rest } = choose(process.argv.slice(2));
const outcomes: Outcome[] = [];
for (const step of steps) outcomes.push(await perform(step, rest));

const failures = outcomes.filter((outcome) => !outcome.ok).map((outcome) => outcome.step);
const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0);
// at the end, where who reads only the tail of a log finds it
for (const outcome of outcomes) for (const line of outcome.failures) process.stdout.write(`\n${line}\n`);
process.stdout.write(failures.length > 0 ? `\nfailed: ${failures.join(', ')}\n` : '\n');
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failures.length > 0 ? 1 : 0;
