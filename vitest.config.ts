/** How vitest runs the tests: one project a folder, so that a step of `npm test` is one project. */

import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { isLong } from './test/kit/long.ts';

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

/** Tests of what a WebSocket transport does, for the transport that `auto` does not choose: uws without TLS, and builtin with TLS. */
const ON_UWS = ['connect/websocket', ...(isLong ? ['connect/deadline', 'publish/slow-reader'] : [])];
const ON_BUILTIN = ['tls/handshake'];
const BROKER: Project = { name: 'broker', files: 3, isShared: true };
const ofBroker = (names: string[]): string[] => names.map((name) => `test/broker/${name}.test.ts`);

const PROJECTS: Project[] = [
  { name: 'layers', files: 2 },
  { name: 'unit', files: 3, isShared: true, exclude: ALONE },
  { name: 'unit-alone', files: 3, include: ALONE, exclude: isAddOnOfUse ? [] : OF_ADD_ON },
  { name: 'contract', files: 3 },
  BROKER,
  { ...BROKER, name: 'broker-uws', include: ofBroker(ON_UWS), env: { FLUXMQ_NODE_WEBSOCKETTRANSPORT: 'uws' } },
  { ...BROKER, name: 'broker-builtin', include: ofBroker(ON_BUILTIN), env: { FLUXMQ_NODE_WEBSOCKETTRANSPORT: 'builtin' } },
  { name: 'admin', files: 3, isShared: true },
  { name: 'cluster', files: 3 },
  { name: 'tour', files: 2 },
];

/**
 * Files of about half a minute and more, in the order in which they begin. Begun last, one of them alone would keep its step from ending. Those of
 * chaos wait most of the time, and begin at different times.
 */
const FIRST = [
  'endpoint/guessing',
  'faults/shutdown',
  'cluster/chaos/local.long',
  'cluster/take-local',
  'cluster/changes',
  'cluster/chaos/mysql.long',
  'cluster/chaos/postgres',
  'faults/blocked',
  'session/large-end.long',
  'tls/exchange',
  'session/large-again',
  'contract/databases-faults',
  'lifecycle/starting',
  'admin/crash/crash',
  'store/store-away',
  'history/large.long',
];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const placeOf = ({ moduleId }: TestSpecification) => {
      const place = FIRST.findIndex((name) => moduleId.endsWith(`${name}.test.ts`));
      return place < 0 ? FIRST.length : place;
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
        exclude: [...exclude, ...(isLong ? [] : ['**/*.long.test.ts'])],
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
