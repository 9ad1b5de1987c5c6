/** The configuration as a user writes it: what starts, what stops the start, and what is said then. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LoadedSettings, loadSettings } from '../../../src/settings/load-settings.ts';
import { formatIssues, SettingsError } from '../../../src/settings/settings-error.ts';

let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'fluxmq-settings-'));
});

afterEach(() => rmSync(cwd, { recursive: true }));

function load(yaml: string, env: NodeJS.ProcessEnv = {}): LoadedSettings {
  writeFileSync(join(cwd, 'config.yaml'), yaml);
  return loadSettings({ file: null, env, cwd });
}

/** `PATH:LINE MESSAGE` of every problem. */
function problemsOf(action: () => unknown): string[] {
  try {
    action();
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return error.issues.map((issue) => `${issue.path}:${issue.line ?? '-'} ${issue.message}`);
  }
  return [];
}

describe('without a file', () => {
  test('are the built-in defaults', () => {
    const { settings, warnings, file } = loadSettings({ file: null, env: {}, cwd });
    expect(file).toBeNull();
    expect(warnings).toEqual([]);
    expect(settings.http).toEqual({
      host: '127.0.0.1',
      port: 18083,
      username: 'admin',
      password: null,
      accessLog: false,
      viewers: [],
      trustedProxies: [],
      basePath: '',
      ssl: null,
    });
    expect(settings.store).toEqual({ storeType: 'LOCAL', local: { dataPath: join(cwd, 'data') } });
    expect(settings.log).toEqual({ level: 'info', file: join(cwd, 'logs/fluxmq.log'), maxSize: 104_857_600, maxFiles: 10 });
    expect(settings.endpoints).toHaveLength(1);
    expect(settings.endpoints[0]).toMatchObject({ port: 1883, host: '127.0.0.1', enableAuth: false, enableAcl: true, isDefault: true });
    expect(settings.acl).toEqual({ order: 'first-match', default: 'allow', rules: [] });
    expect(settings.auth).toEqual([]);
    expect(settings.shutdownTimeout).toBe(10_000);
    expect(settings.node.name).toMatch(/^[A-Za-z0-9_.-]{1,64}$/);
  });

  test('a file that was named and is not there is an error', () => {
    const action = () => loadSettings({ file: 'other.yaml', env: {}, cwd });
    expect(problemsOf(action)).toEqual([':- there is no such file']);
  });

  test('rules that decide nothing are warned of, those of the node and those of an endpoint', () => {
    const rules = '[{ permission: deny, subject: { type: all }, topic: a/# }, { permission: allow, subject: { type: all }, topic: a/b }]';
    const { warnings } = load(`acl: { rules: ${rules} }\nendpoints: [{ port: 1883, aclConfig: { rules: ${rules} } }]\n`);
    expect(warnings.map((warning) => warning.split(': decides')[0])).toEqual(['endpoints[0]: aclConfig.rules.1', 'acl.rules.1']);
    expect(load(`acl: { order: deny-overrides, rules: ${rules} }\n`).warnings).toEqual([]);
  });

  test('an empty file is the built-in defaults, too', () => {
    expect(load('# nothing\n').settings.endpoints[0]?.port).toBe(1883);
  });

  test('an endpoint may not have the port of the admin API where both would listen', () => {
    const port = (host: string, more = '') => `http: {host: 127.0.0.1, port: 1999}\nendpoints:\n  - {port: 1999, host: ${host}${more}}\n`;
    for (const host of ['127.0.0.1', '0.0.0.0'])
      expect(() => load(port(host))).toThrow(
        expect.objectContaining({
          issues: [{ path: 'endpoints[0].port', message: 'is the port of the admin API (http.port 1999)', line: 3 }],
        }),
      );
    expect(load(port('127.0.0.2')).settings.endpoints).toHaveLength(1);
    expect(load(port('0.0.0.0', ', enabled: false')).settings.endpoints).toHaveLength(1);
  });
});

test('reads every section', () => {
  const { settings, file } = load(`
node: { name: n1 }
http: { host: 0.0.0.0, port: 8080, username: root, password: secret, accessLog: true, viewers: [{ username: eve, password: x }] }
store: { storeType: MEMORY, local: { dataPath: d } }
auth:
  - authType: fixed
    users: [{ username: u, password: p }]
acl: { default: deny, rules: [{ permission: allow, subject: { type: all, value: '' }, action: pubsub, topic: '#' }] }
endpoints:
  - { port: 1884, maxConnectionSize: 7 }
  - { port: 8083, useWebsocket: true, isDefault: true }
log: { level: debug, file: /var/log/f.log, maxSize: 2kb, maxFiles: 3 }
shutdownTimeout: 2500
`);
  expect(file).toBe(join(cwd, 'config.yaml'));
  expect(settings).toMatchObject({
    node: { name: 'n1', bindAddress: null, memoryBudget: null, websocketTransport: 'auto' },
    http: {
      host: '0.0.0.0',
      port: 8080,
      username: 'root',
      password: 'secret',
      accessLog: true,
      viewers: [{ username: 'eve', password: 'x' }],
    },
    store: { storeType: 'MEMORY', local: { dataPath: join(cwd, 'd') } },
    auth: [{ authType: 'fixed', users: [{ username: 'u', password: 'p' }] }],
    acl: { default: 'deny', rules: [{ permission: 'allow', topic: '#' }] },
    endpoints: [
      { port: 1884, maxConnectionSize: 7 },
      { port: 8083, useWebsocket: true, isDefault: true },
    ],
    log: { level: 'debug', file: '/var/log/f.log', maxSize: 2048, maxFiles: 3 },
    shutdownTimeout: 2500,
  });
});

describe('problems', () => {
  test('are all told at once, each with its path and line', () => {
    const yaml = `http:
  port: 70000
  hots: 127.0.0.1
nodes: 3
store:
  storeType: ORACLE
endpoints:
  - port: 1883
    maxConnectionSize: many
  - port: 1884
    colour: red
log: { level: loud }
`;
    const told = problemsOf(() => load(yaml));
    expect(told).toHaveLength(7);
    expect(told).toEqual(
      expect.arrayContaining([
        'http.port:2 must be a whole number from 0 to 65535',
        'http.hots:3 unknown key',
        'nodes:4 unknown key',
        'store.storeType:6 must be one of MYSQL, POSTGRESQL, LOCAL, MEMORY',
        'endpoints[1].colour:11 unknown key',
        'log.level:12 must be one of debug, info, warn, error',
      ]),
    );
    expect(told.some((line) => line.startsWith('endpoints[0].maxConnectionSize:9 '))).toBe(true);
  });

  test('formatIssues prints one line each, in the order of the file', () => {
    try {
      load('log: 1\nhttp: { port: x }\n', { FLUXMQ_BOGUS: '1' });
      expect.unreachable();
    } catch (error) {
      expect(formatIssues(error as SettingsError)).toBe(
        [
          'config.yaml:1: log: must be a group of keys',
          'config.yaml:2: http.port: must be a whole number from 0 to 65535',
          'config.yaml: FLUXMQ_BOGUS: is not a setting: no key has this name',
        ].join('\n'),
      );
    }
  });

  test('files that are no UTF-8 text are named for what they are', () => {
    const told = (bytes: Buffer) => {
      writeFileSync(join(cwd, 'config.yaml'), bytes);
      return problemsOf(() => loadSettings({ file: null, env: {}, cwd }));
    };
    expect(told(Buffer.from('\ufeffhttp: { port: 1 }\r\n', 'utf8'))).toEqual([]);
    expect(told(Buffer.from('\ufeffhttp: { port: 1 }\n', 'utf16le'))).toEqual([
      ':- is UTF-16, as Windows PowerShell writes it: save it as UTF-8',
    ]);
    expect(told(gzipSync('http: { port: 1 }'))).toEqual([':- is compressed (gzip): unpack it first']);
    expect(told(Buffer.from('a: \0'))).toEqual([':- is no text: it holds NUL bytes']);
    expect(told(Buffer.from([0x61, 0x3a, 0x20, 0xff]))).toEqual([':- is not UTF-8']);
    expect(problemsOf(() => loadSettings({ file: '.', env: {}, cwd }))).toEqual([':- is a folder']);
  });

  test('two documents, and a home folder that only a shell knows', () => {
    expect(problemsOf(() => load('log: {}\n---\nlog: {}\n'))).toEqual([':2 a second YAML document begins here (---): give one document']);
    const paths = 'store:\n  local: { dataPath: ~/data }\n  secretKeyFile: ~/key\nlog:\n  file: ~/x.log\nhttp:\n  ssl: { crt: ~/a.pem }\n';
    const lines = problemsOf(() => load(paths)).filter((line) => line.includes('begins with ~'));
    expect(lines.map((line) => line.split(':')[0]).sort()).toEqual([
      'http.ssl.crt',
      'log.file',
      'store.local.dataPath',
      'store.secretKeyFile',
    ]);
    expect(lines).toContain('store.local.dataPath:2 begins with ~, which is not replaced here: write ${HOME}/data');
    expect(load('store: { local: { dataPath: "${HOME}/data" } }', { HOME: '/home/me' }).settings.store.local.dataPath).toBe(
      '/home/me/data',
    );
  });

  test('a missing key has the line of its entry', () => {
    const told = problemsOf(() => load('endpoints:\n  - port: 1\n  - host: 127.0.0.1\n'));
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/^endpoints\[1\]\.port:3 /);
  });

  test('of YAML itself have their line', () => {
    expect(problemsOf(() => load('http:\n  port: 1\n  port: 2\n'))).toEqual([':3 Map keys must be unique']);
    expect(problemsOf(() => load('- 1\n'))).toEqual([':1 must be a group of keys']);
    expect(problemsOf(() => load('a: [\n'))).not.toEqual([]);
  });

  test('ports, ids and the default are unique', () => {
    const yaml = 'endpoints:\n  - { port: 1, isDefault: true }\n  - { port: 1 }\n  - { port: 2, id: mqtt-1, isDefault: true }\n';
    expect(problemsOf(() => load(yaml))).toEqual([
      'endpoints[1].port:3 1 is the port of endpoints[0], too',
      'endpoints[2].id:4 mqtt-1 is the id of endpoints[0], too',
      'endpoints[2].isDefault:4 endpoints[0] is the default already',
      'endpoints[2].id:4 mqtt-1 is the id of endpoints[1], too',
    ]);
    const broken = 'endpoints:\n  - { port: 1 }\n  - { port: 1, id: "a b" }\n';
    expect(problemsOf(() => load(broken)).map((problem) => problem.split(' ')[0])).toEqual(['endpoints[1].id:3', 'endpoints[1].port:3']);
  });

  test('http.ssl', () => {
    const ssl = (yaml: string) => load(`http: { ssl: ${yaml} }`).settings.http.ssl;
    expect(ssl('{ crt: a.pem, key: b.pem, ca: c.pem }')).toEqual({ crt: 'a.pem', key: 'b.pem', ca: 'c.pem' });
    expect(ssl('{ cert: both.pem }')).toEqual({ crt: 'both.pem', key: null, ca: null });
    expect(ssl('{}')).toBeNull();
    expect(problemsOf(() => ssl('{ key: b.pem }'))).toEqual(['http.ssl.crt:1 is needed: the certificate, a path or PEM text']);
    expect(problemsOf(() => ssl('{ crt: a, cert: b, colour: c }'))).toEqual(['http.ssl.colour:1 unknown key']);
    expect(problemsOf(() => ssl('{ crt: a, cert: b }'))).toEqual(['http.ssl.cert:1 is another name of crt: give one of them']);
  });

  test('what a key may not be', () => {
    expect(problemsOf(() => load('shutdownTimeout: -1'))).toHaveLength(1);
    expect(problemsOf(() => load('node: { name: "a b" }'))).toHaveLength(1);
    expect(problemsOf(() => load('log: { maxSize: 5XB }'))).toHaveLength(1);
    expect(problemsOf(() => load('endpoints: 3'))).toEqual(['endpoints:1 must be a list']);
    expect(problemsOf(() => load('__proto__: { a: 1 }'))).toEqual(['__proto__:1 unknown key']);
  });
});

describe('http.host', () => {
  test.each(['0.0.0.0', '::', '192.168.1.10'])('%s without a password stops the start', (host) => {
    expect(problemsOf(() => load(`http: { host: "${host}" }`))[0]).toMatch(/^http\.host:1 .*set http\.password/);
    expect(load(`http: { host: "${host}", password: x }`).settings.http.host).toBe(host);
  });

  test.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost'])('%s needs none', (host) => {
    expect(load(`http: { host: "${host}" }`).settings.http.password).toBeNull();
  });

  test('viewers without a password, and two of one name, are refused', () => {
    expect(problemsOf(() => load('http: { viewers: [{ username: a, password: b }] }'))).toEqual([
      'http.viewers:1 need http.password: without one nobody has to log in',
    ]);
    expect(problemsOf(() => load('http: { password: p, viewers: [{ username: admin, password: b }] }'))).toEqual([
      'http.viewers[0].username:1 admin is given twice',
    ]);
  });

  test('a password of digits stays as it was written', () => {
    expect(load('http: { password: 0123 }').settings.http.password).toBe('0123');
    expect(load('http: { password: ${P} }', { P: '007' }).settings.http.password).toBe('007');
  });
});

describe('variables', () => {
  test('are filled in, and typed as YAML would', () => {
    const env = { PORT: '9000', DIR: '/srv', LOG: 'true' };
    const { settings } = load('http: { port: ${PORT}, accessLog: ${LOG} }\nstore: { local: { dataPath: "${DIR}/x$${y}" } }\n', env);
    expect(settings.http.port).toBe(9000);
    expect(settings.http.accessLog).toBe(true);
    expect(settings.store.local.dataPath).toBe('/srv/x${y}');
  });

  test('a quoted one stays text, a missing one is reported once, with its line', () => {
    expect(problemsOf(() => load('http:\n  port: "${PORT}"\n', { PORT: '1' }))).toEqual([
      'http.port:2 must be a whole number from 0 to 65535',
    ]);
    expect(problemsOf(() => load('http:\n  port: ${NOPE}\n'))).toEqual(['http.port:2 the environment variable NOPE is not set']);
    expect(problemsOf(() => load('http:\n  username: "${a-b}"\n'))).toEqual(['http.username:2 ${a-b} is not the name of a variable']);
  });

  test('what a client is asked for later is left alone', () => {
    const rule = '{ permission: allow, subject: { type: all, value: "" }, action: pubsub, topic: "a/${clientId}/${ROOM}" }';
    const { settings } = load(`acl: { rules: [${rule}] }`, { ROOM: 'r', clientId: 'wrong' });
    expect(settings.acl.rules[0]?.topic).toBe('a/${clientId}/r');
  });
});

describe('environment', () => {
  test('wins over the file, any key', () => {
    const env = {
      FLUXMQ_HTTP_PORT: '8080',
      FLUXMQ_STORE_STORETYPE: 'MEMORY',
      FLUXMQ_STORE_LOCAL_DATAPATH: 'e',
      FLUXMQ_SHUTDOWNTIMEOUT: '1',
      OTHER: 'x',
    };
    const { settings } = load('http: { port: 1, username: u }\nstore: { local: { dataPath: d } }\n', env);
    expect(settings.http).toMatchObject({ port: 8080, username: 'u' });
    expect(settings.store).toEqual({ storeType: 'MEMORY', local: { dataPath: join(cwd, 'e') } });
    expect(settings.shutdownTimeout).toBe(1);
  });

  test('sets lists as JSON and by index, 10 after 9', () => {
    const byIndex = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`FLUXMQ_ENDPOINTS_${index}_PORT`, String(3000 + index)]));
    const { settings } = load('endpoints: [{ port: 1, maxSessionSize: 5 }]', {
      ...byIndex,
      FLUXMQ_ENDPOINTS_0_SERVEROPTIONS_WORKERGROUPSIZE: '2',
    });
    expect(settings.endpoints.map((endpoint) => endpoint.port)).toEqual(Array.from({ length: 12 }, (_, index) => 3000 + index));
    expect(settings.endpoints[0]).toMatchObject({ maxSessionSize: 5, serverOptions: { workerGroupSize: 2 } });
    const json = load('', {
      FLUXMQ_ENDPOINTS: '[{"port": 7}]',
      FLUXMQ_AUTH: '[{"authType":"fixed","users":[{"username":"a","password":"b"}]}]',
    });
    expect(json.settings.endpoints.map((endpoint) => endpoint.port)).toEqual([7]);
    expect(json.settings.auth).toHaveLength(1);
  });

  test('problems name the variable', () => {
    expect(problemsOf(() => load('', { FLUXMQ_HTTP_PORT: 'x' }))).toEqual([
      'http.port:- must be a whole number from 0 to 65535 (set by FLUXMQ_HTTP_PORT)',
    ]);
    expect(problemsOf(() => load('', { FLUXMQ_HTP_PORT: '1' }))).toEqual(['FLUXMQ_HTP_PORT:- is not a setting: no key has this name']);
    expect(problemsOf(() => load('', { FLUXMQ_ENDPOINTS: '[{' }))[0]).toMatch(/^FLUXMQ_ENDPOINTS:- is not JSON/);
    expect(problemsOf(() => load('', { FLUXMQ_ENDPOINTS_2_PORT: '1' }))[0]).toMatch(/^FLUXMQ_ENDPOINTS_2_PORT:- the list ends before/);
  });

  test('what the command line reads is not a setting', () => {
    const env = {
      FLUXMQ_API: 'http://127.0.0.1:1',
      FLUXMQ_API_USER: 'a',
      FLUXMQ_API_PASSWORD: 'b',
      FLUXMQ_API_TOKEN: 'c',
      FLUXMQ_HTTP_PORT: '8080',
    };
    expect(load('', env).settings.http.port).toBe(8080);
    expect(problemsOf(() => load('', { FLUXMQ_APIS: '1' }))).toHaveLength(1);
    // the launcher chooses a version of Node by it
    expect(load('', { FLUXMQ_NODE: '24' }).settings.node).toEqual(load('').settings.node);
    expect(load('', { FLUXMQ_NODE: '{"name":"east"}' }).settings.node.name).toBe('east');
    expect(problemsOf(() => load('', { FLUXMQ_NODE: 'next' }))).toHaveLength(1);
  });

  test('what Kubernetes sets for a service named fluxmq is not a setting', () => {
    const env = {
      FLUXMQ_SERVICE_HOST: '10.0.0.1',
      FLUXMQ_SERVICE_PORT: '1883',
      FLUXMQ_SERVICE_PORT_MQTT: '1883',
      FLUXMQ_PORT: 'tcp://10.0.0.1:1883',
      FLUXMQ_PORT_1883_TCP: 'tcp://10.0.0.1:1883',
      FLUXMQ_PORT_1883_TCP_ADDR: '10.0.0.1',
    };
    expect(load('', env).settings.http.port).toBe(18083);
  });

  test('a service whose name makes the name of a setting is no setting either, and is reported', () => {
    const link = (service: string, port: number) => ({
      [`${service}_SERVICE_HOST`]: '10.96.7.8',
      [`${service}_SERVICE_PORT`]: String(port),
      [`${service}_SERVICE_PORT_HTTP`]: String(port),
      [`${service}_PORT`]: `tcp://10.96.7.8:${port}`,
      [`${service}_PORT_${port}_TCP`]: `tcp://10.96.7.8:${port}`,
      [`${service}_PORT_${port}_TCP_PROTO`]: 'tcp',
      [`${service}_PORT_${port}_TCP_PORT`]: String(port),
      [`${service}_PORT_${port}_TCP_ADDR`]: '10.96.7.8',
    });
    for (const service of ['FLUXMQ_HTTP', 'FLUXMQ_ENDPOINTS_0', 'FLUXMQ_CLUSTER_KUBERNETES', 'FLUXMQ_NODE', 'FLUXMQ_WS', 'FLUXMQ']) {
      const { settings, warnings } = load('', link(service, 1883));
      expect([service, settings.http.port, settings.endpoints.length, settings.cluster.bus]).toEqual([service, 18083, 1, null]);
      expect(warnings).toEqual([expect.stringMatching(new RegExp(`^environment: ${service}_.* and 4 more: set by Kubernetes`))]);
    }
    const udp = load('', { FLUXMQ_HTTP_PORT: 'udp://[2001:db8::1]:5' });
    expect([udp.settings.http.port, udp.warnings.length]).toEqual([18083, 1]);
    expect(load('', { FLUXMQ_NAME: '/web/fluxmq', FLUXMQ_ENV_PATH: '/usr/bin' }).warnings).toHaveLength(1);
    expect(problemsOf(() => load('', { FLUXMQ_HTTP_PORT: 'http://10.96.7.8:80' }))).toHaveLength(1);
    expect(load('', { FLUXMQ_HTTP_PORT: '8080' })).toMatchObject({ warnings: [], settings: { http: { port: 8080 } } });
  });
});
