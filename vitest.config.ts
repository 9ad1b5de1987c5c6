/** How vitest runs the tests: one project a folder, so that a step of `npm test` is one project. */

import { defineConfig } from 'vitest/config';

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

export default defineConfig({
  test: {
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
