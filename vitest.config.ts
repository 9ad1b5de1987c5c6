/** How vitest runs the tests: one project a folder, so that a step of `npm test` is one project. */

import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Unit tests with a process for each file: they measure their own time or memory, count their handles or threads, or change what the
 * process has only once.
 */
const ALONE = [
  'access/auth*',
  'admin/login',
  'admin/server',
  'bus/discovery',
  'bus/nats-service',
  'client/end',
  'control/**/*',
  'endpoint/access-schema',
  'endpoint/pattern',
  'internals/*',
  'kernel/*clock',
  'kernel/logins',
  'listener/*',
  'mesh/turns',
  'metrics/*',
  'mqtt/user-properties',
  'routing/namespace',
  'storage/data-files',
  'storage/large-commit',
  'storage/remembering-store',
  'thread/*',
  'tools/*',
].map((name) => `test/unit/${name}.test.ts`);

/** The add-on refuses a libuv that is newer than the one it was made for, as that of Node 24: uWebSockets.js is not used there. */
const LIBUV_MINOR_MAX = 51;
const isAddOnOfUse = Number(process.versions.uv.split('.')[1]) <= LIBUV_MINOR_MAX;
const OF_ADD_ON = ['test/unit/internals/guard.test.ts', 'test/unit/internals/loose-copies.test.ts'];

interface Project {
  /** a step of `npm test` is the projects that begin with its name */
  name: string;
  /** test files at once: the smallest machine has two cores, and a test waits a third of its time for restarts and expiries */
  files: number;
  /** true: a process runs one file after the other, which saves 0.7 s of CPU time for each: its start, and its imports */
  isShared?: boolean;
  include?: string[];
  exclude?: string[];
  /** of the tests, and of the brokers that they start */
  env?: Record<string, string>;
}

/** Tests of what a WebSocket transport does, for the transport that `auto` does not choose: without TLS and with TLS. */
const OTHER_TRANSPORT = {
  uws: ['connect/websocket', 'connect/deadline', 'publish/slow-reader'],
  builtin: ['tls/handshake'],
};
const ofBroker = (names: string[]): string[] => names.map((name) => `test/broker/${name}.test.ts`);

const PROJECTS: Project[] = [
  { name: 'layers', files: 2 },
  { name: 'unit', files: 3, isShared: true, exclude: ALONE },
  { name: 'unit-alone', files: 3, include: ALONE, exclude: isAddOnOfUse ? [] : OF_ADD_ON },
  { name: 'contract', files: 3 },
  { name: 'broker', files: 3, isShared: true },
  {
    name: 'broker-uws',
    files: 3,
    isShared: true,
    include: ofBroker(OTHER_TRANSPORT.uws),
    env: { FLUXMQ_NODE_WEBSOCKETTRANSPORT: 'uws' },
  },
  {
    name: 'broker-builtin',
    files: 3,
    isShared: true,
    include: ofBroker(OTHER_TRANSPORT.builtin),
    env: { FLUXMQ_NODE_WEBSOCKETTRANSPORT: 'builtin' },
  },
  { name: 'admin', files: 3, isShared: true },
  { name: 'cluster', files: 3 },
  { name: 'tour', files: 2 },
];

/**
 * Files of about half a minute and more, in the order in which they begin. Begun last, one of them alone would keep its step from ending. Those of
 * chaos wait most of the time, and begin at different times.
 */
const LONG = [
  'endpoint/guessing',
  'faults/shutdown',
  'cluster/chaos/local',
  'cluster/take-local',
  'cluster/changes',
  'cluster/chaos/mysql',
  'cluster/chaos/postgres',
  'faults/blocked',
  'session/large-end',
  'tls/exchange',
  'session/large-again',
  'contract/databases-faults',
  'lifecycle/starting',
  'admin/crash/crash',
  'store/store-away',
  'history/large',
];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const placeOf = ({ moduleId }: TestSpecification) => {
      const place = LONG.findIndex((name) => moduleId.endsWith(`${name}.test.ts`));
      return place < 0 ? LONG.length : place;
    };
    return sorted.toSorted((one, other) => placeOf(one) - placeOf(other));
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
    projects: PROJECTS.map(({ name, files, isShared = false, include = [`test/${name}/**/*.test.ts`], exclude = [], env = {} }) => ({
      test: {
        name,
        include,
        exclude,
        env,
        isolate: !isShared,
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
