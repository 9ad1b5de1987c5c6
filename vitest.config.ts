/** How vitest runs the tests: one project a folder, so that a step of `npm test` is one project. */

import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** `files` = test files at once: the smallest machine has two cores, and a test waits a third of its time for restarts and expiries. */
const PROJECTS: { name: string; files: number }[] = [
  { name: 'layers', files: 2 },
  { name: 'unit', files: 3 },
  { name: 'contract', files: 3 },
  { name: 'broker', files: 3 },
  { name: 'admin', files: 3 },
  { name: 'cluster', files: 3 },
  { name: 'tour', files: 1 },
];

/** Files of more than a minute. Begun last, one of them alone would keep its step from ending. */
const LONG = [
  'cluster/chaos/chaos',
  'cluster/take-local',
  'session/clock',
  'endpoint/guessing',
  'contract/jetstream',
  'cli/refusals',
  'history/large',
];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => LONG.some((name) => moduleId.endsWith(`${name}.test.ts`));
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongFirst },
    // of `npm run coverage`: what the unit tests reach; the other steps start the built broker, in processes of its own
    coverage: {
      provider: 'v8',
      // a test that measures time may fail when every line is counted
      reportOnFailure: true,
      include: ['src/**/*.ts', 'workers/**/*.ts'],
      reporter: ['text-summary', 'html'],
      reportsDirectory: '.prepare/coverage',
    },
    projects: PROJECTS.map(({ name, files }) => ({
      test: {
        name,
        include: [`test/${name}/**/*.test.ts`],
        environment: 'node',
        pool: 'forks',
        maxWorkers: files,
        testTimeout: 30_000,
        hookTimeout: 60_000,
        teardownTimeout: 10_000,
      },
    })),
  },
});
