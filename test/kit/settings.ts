/** The settings of a node in a test: all defaults, a store in memory, and no bus. */

import type { Settings } from '../../src/settings/settings.ts';

/** @param changes replace whole sections */
export function testSettings(changes: Partial<Settings> = {}): Settings {
  return {
    node: { name: 'test-node', bindAddress: null, memoryBudget: null, websocketTransport: 'auto' },
    http: {
      host: '127.0.0.1',
      port: 0,
      username: 'admin',
      password: null,
      accessLog: false,
      viewers: [],
      trustedProxies: [],
      basePath: '',
      ssl: null,
    },
    store: { storeType: 'MEMORY', local: { dataPath: '/nonexistent' } },
    cluster: {
      name: 'fluxmq',
      localAddress: '127.0.0.1',
      bus: null,
      messages: true,
      hold: 64 * 1024 * 1024,
      sharedSubscriptions: 'even',
      willGrace: 5_000,
      sync: { enabled: true, interval: 100, timeout: 30_000, retryCount: 3 },
    },
    secrets: { secretKey: null, secretKeysOld: [] },
    auth: [],
    acl: { order: 'first-match', default: 'allow', rules: [] },
    endpoints: [],
    areEndpointsGiven: false,
    history: { keep: 10_000, keepDays: 365 },
    audit: { keepDays: 90 },
    flapping: null,
    log: { level: 'info', file: '/nonexistent/x.log', maxSize: 1e6, maxFiles: 1 },
    shutdownTimeout: 10_000,
    ...changes,
  };
}
