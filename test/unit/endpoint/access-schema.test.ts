/** Authenticators and ACL rules: every accepted spelling, every refused value. */

import { describe, expect, test } from 'vitest';
import { unreachedRules } from '../../../src/endpoint/access/rules/unreached-rules.ts';
import { parseAcl, parseAuthList, parseEndpoint } from '../../../src/endpoint/schema.ts';
import { FluxError } from '../../../src/kernel/errors.ts';

function issuesOf(work: () => unknown): Record<string, string> {
  try {
    work();
  } catch (error) {
    if (error instanceof FluxError) return Object.fromEntries(error.issues.map(({ path, message }) => [path, message]));
    throw error;
  }
  throw new Error('nothing was thrown');
}

const bob = { username: 'bob', password: 'b', encrypt: 'plain', salt: '', saltMode: 'disable' };

describe('parseAuthList', () => {
  test.each([
    [[{ authType: 'fixed', users: [{ username: 'bob', password: 'b' }] }]],
    [[{ type: 'fixed', users: [bob] }]],
    [[{ authType: 'fixed', authConfig: { users: [bob] } }]],
    [[{ fixedAuthConfig: [bob] }]],
  ])('reads %j', (input) => {
    expect(parseAuthList(input)).toEqual([{ authType: 'fixed', filter: {}, users: [bob] }]);
  });

  test.each([
    ['Client{^d-[0-9]{3}$}', { Client: '^d-[0-9]{3}$' }],
    ['User{a|b}', { User: 'a|b' }],
    ['Client{a}User{b}', { Client: 'a', User: 'b' }],
    [{ Client: 'x' }, { Client: 'x' }],
    ['', {}],
    [null, {}],
  ])('reads the filter %j', (filter, wanted) => {
    expect(parseAuthList([{ users: [bob], filter }])[0]?.filter).toEqual(wanted);
  });

  test.each([
    [{ User: '(?=device)(\\w+\\d*)+\\1-x' }, 'User', 'look-around'],
    [{ Client: '(a)\\1' }, 'Client', 'back reference'],
    ['User{(?<!a)b}', 'User', 'look-around'],
    [{ User: '(a{30}){30}' }, 'User', 'too large'],
  ])('refuses the filter %j, and says why', (filter, key, reason) => {
    const issues = issuesOf(() => parseAuthList([{ users: [bob] }, { users: [bob], filter }]));
    expect(Object.keys(issues)).toEqual([`auth.1.filter.${key}`]);
    expect(Object.values(issues)[0]).toContain(reason);
  });

  test.each([' ', '\t', 'Client{', 'User{x} '])('refuses a long filter of %j at once', (part) => {
    const startedAt = performance.now();
    issuesOf(() => parseAuthList([{ users: [bob], filter: `${part.repeat(200_000)}x` }]));
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  test.each(['Client', 'Group{x}', 'Client{(}', { Client: '(' }, { Other: 'x' }, 7])('refuses the filter %j', (filter) => {
    expect(Object.keys(issuesOf(() => parseAuthList([{ users: [bob], filter }])))[0]).toMatch(/^auth\.0\.filter/);
  });

  const user = (keys: object) => [{ users: [{ username: 'u', password: 'p', ...keys }] }];
  const salt = Buffer.alloc(16).toString('base64');
  const hash = Buffer.alloc(32).toString('base64');

  test.each([
    [{ encrypt: 'md5', password: 'a'.repeat(32) }],
    [{ encrypt: 'sha1', password: 'A'.repeat(40), salt: 's', saltMode: 'prefix' }],
    [{ encrypt: 'sha256', password: '0'.repeat(64), salt: 's', saltMode: 'suffix' }],
    [{ encrypt: 'sha512', password: '0'.repeat(128), salt: 's', saltMode: 'disable' }],
    [{ encrypt: 'scrypt', password: `scrypt$16384$8$1$${salt}$${hash}` }],
    [{ encrypt: 'bcrypt', password: `$2b$10$${'a'.repeat(53)}` }],
  ])('accepts the user %j', (keys) => {
    expect(parseAuthList(user(keys))).toMatchObject([{ users: [keys] }]);
  });

  test.each([
    [{ encrypt: 'md5', password: 'short' }, 'password'],
    [{ encrypt: 'sha256', password: 'z'.repeat(64) }, 'password'],
    [{ encrypt: 'scrypt', password: `scrypt$16383$8$1$${salt}$${hash}` }, 'password'],
    [{ encrypt: 'scrypt', password: `scrypt$8388608$8$1$${salt}$${hash}` }, 'password'],
    [{ encrypt: 'bcrypt', password: `$2b$31$${'a'.repeat(53)}` }, 'password'],
    [{ encrypt: 'bcrypt', password: 'x' }, 'password'],
    [{ encrypt: 'rot13' }, 'encrypt'],
    [{ password: '' }, 'password'],
    [{ username: '' }, 'username'],
    [{ encrypt: 'md5', password: 'a'.repeat(32), salt: 's' }, 'saltMode'],
    [{ encrypt: 'plain', salt: 's', saltMode: 'prefix' }, 'saltMode'],
    [{ extra: 1 }, 'extra'],
  ])('refuses the user %j', (keys, path) => {
    expect(Object.keys(issuesOf(() => parseAuthList(user(keys))))).toEqual([`auth.0.users.0.${path}`]);
  });

  test('lists the problems of all entries and users', () => {
    const input = [
      { users: [{ username: 1 }, 5, { ...bob, encrypt: 'md5', salt: 3 }] },
      'x',
      { authType: 'magic' },
      {},
      { users: [bob, bob], foo: 1 },
    ];
    expect(Object.keys(issuesOf(() => parseAuthList(input))).sort()).toEqual([
      'auth.0.users.0.password',
      'auth.0.users.0.username',
      'auth.0.users.1',
      'auth.0.users.2.password',
      'auth.0.users.2.salt',
      'auth.1',
      'auth.2.authType',
      'auth.3.users',
      'auth.4.foo',
      'auth.4.users.1.username',
    ]);
    expect(issuesOf(() => parseAuthList('x'))).toEqual({ auth: 'must be a list' });
  });

  test('belongs to an endpoint as object or as list', () => {
    const entry = { authType: 'fixed', filter: {}, users: [bob] };
    expect(parseEndpoint({ port: 1, authType: 'fixed', authConfig: { users: [bob] } }).endpoint.authConfig).toEqual([entry]);
    expect(parseEndpoint({ port: 1, authConfig: [entry, entry] }).endpoint.authConfig).toEqual([entry, entry]);
    expect(issuesOf(() => parseEndpoint({ port: 1, authType: 'fixed' }))).toHaveProperty('authConfig');
    expect(issuesOf(() => parseEndpoint({ port: 1, authType: 'magic' }))).toHaveProperty('authType');
  });
});

describe('parseAcl', () => {
  const rule = { permission: 'deny', subject: { type: 'user', value: 'bob' }, action: 'publish', topic: 'a/+/#' };

  const columns = { acl_strategy: 'deny', acl_type: 'user', acl_action: 'publish', subject: 'bob', topic: 'a/+/#' };
  test.each([
    [rule, 'first-match'],
    [columns, 'allow-overrides'],
    [{ aclStrategy: 'deny', aclType: 'user', action: 'publish', subject: 'bob', topic: 'a/+/#' }, 'allow-overrides'],
  ])('reads the rule %j', (input, order) => {
    expect(parseAcl({ default: 'deny', rules: [input] })).toEqual({ order, default: 'deny', rules: [rule] });
    expect(parseAcl([input])).toEqual({ order, default: 'allow', rules: [rule] });
    expect(parseAcl({ config: { rules: [input] } })).toEqual({ order, default: 'allow', rules: [rule] });
    expect(parseAcl({ order: 'deny-overrides', rules: [input] })).toEqual({ order: 'deny-overrides', default: 'allow', rules: [rule] });
    expect(parseAcl({ order: 'first-match', config: { rules: [input] } }).order).toBe('first-match');
  });

  test("says that FluxMQ's form brings FluxMQ's order, unless an order is given", () => {
    const warningsOf = (input: unknown) => {
      const warnings: string[] = [];
      parseAcl(input, warnings);
      return warnings;
    };
    const text = "has rules in FluxMQ's form, so order is allow-overrides: a matching allow beats every deny";
    expect(warningsOf([rule, columns])).toEqual([`acl: ${text}`]);
    expect(warningsOf({ rules: [{ username: 'bob', allow: ['a/#'] }] })).toEqual([`acl.rules: ${text}`]);
    expect(warningsOf({ order: 'first-match', rules: [columns] })).toEqual([]);
    expect(warningsOf({ order: 'allow-overrides', rules: [columns] })).toEqual([]);
  });

  test('says which rules decide nothing', () => {
    const warningsOf = (acl: object) => {
      const warnings: string[] = [];
      parseAcl(acl, warnings);
      return warnings.map((warning) => /^acl\.rules\.(\d+): .*acl\.rules\.(\d+) comes first/.exec(warning)?.slice(1).map(Number));
    };
    const all = (permission: string, topic: string, action = 'pubsub') => ({ permission, subject: { type: 'all' }, action, topic });
    const bobs = (topic: string, action = 'pubsub') => ({ ...rule, topic, action });
    const rules = [
      all('deny', 'a/#'),
      all('allow', 'a/b'),
      bobs('a/+'),
      bobs('b/#', 'publish'),
      bobs('b/c'),
      bobs('b/c', 'publish'),
      { ...bobs('b/c', 'publish'), subject: { type: 'user', value: 'eve' } },
      all('allow', `d/\${clientId}`),
      all('deny', `d/\${clientId}`),
      all('allow', 'eq:e/+'),
      all('deny', 'e/+'),
      all('deny', 'eq:a/#'),
      all('allow', `a/\${username}/x`),
      all('allow', 'f/+'),
      all('deny', `f/\${clientId}`),
      all('deny', `\${clientId}/#`),
    ];
    expect(warningsOf({ rules })).toEqual([
      [1, 0],
      [2, 0],
      [5, 3],
      [8, 7],
      [11, 0],
      [12, 0],
    ]);
    for (const order of ['deny-overrides', 'allow-overrides']) expect(warningsOf({ order, rules })).toEqual([]);
    expect(warningsOf({ rules: Array.from({ length: 50 }, () => all('deny', 'x')) })).toHaveLength(10);
  });

  test('a rule of some QoS or RETAIN hides only rules about the same', () => {
    const one = (more: object) => ({ ...rule, permission: 'deny', subject: { type: 'all' }, action: 'publish', topic: 'a', ...more });
    const hidden = (earlier: object, later: object) =>
      unreachedRules(parseAcl({ order: 'deny-overrides', rules: [one(earlier), one(later)] }).rules).length;
    expect([hidden({}, { qos: 1 }), hidden({ qos: [0, 1] }, { qos: 1 }), hidden({ retain: true }, { retain: true })]).toEqual([1, 1, 1]);
    expect([hidden({ qos: 1 }, {}), hidden({ qos: 1 }, { qos: [1, 2] }), hidden({ retain: true }, {})]).toEqual([0, 0, 0]);
    expect([hidden({ qos: [0, 1, 2] }, {}), hidden({ retain: true }, { retain: false })]).toEqual([1, 0]);
  });

  test.each([
    [{ qos: 1 }, [1], undefined],
    [{ qos: [2, 0, 2] }, [0, 2], undefined],
    [{ action: 'publish', retain: false }, undefined, false],
    [{ qos: null, retain: null }, undefined, undefined],
  ])('reads the conditions %j', (more, qos, retain) => {
    const [read] = parseAcl([{ ...rule, ...more }]).rules;
    expect([read!.qos, read!.retain]).toEqual([qos, retain]);
    // A stored rule is read again as it was.
    expect(parseAcl([read]).rules).toEqual([read]);
  });

  test.each([
    [{ qos: 3 }, 'qos'],
    [{ qos: '1' }, 'qos'],
    [{ qos: [] }, 'qos'],
    [{ qos: [0, 5] }, 'qos.1'],
    [{ action: 'publish', retain: 1 }, 'retain'],
    [{ action: 'subscribe', retain: true }, 'retain'],
    [{ action: 'pubsub', retain: true }, 'retain'],
  ])('refuses the conditions %j', (more, key) => {
    expect(Object.keys(issuesOf(() => parseAcl([{ ...rule, ...more }])))).toEqual([`acl.0.${key}`]);
  });

  test('the search for such rules has an end', () => {
    const rules = Array.from({ length: 20_000 }, (_, index) => ({ ...rule, subject: { type: 'all' }, topic: `t/${index}/+` }));
    const compared = unreachedRules(parseAcl({ order: 'deny-overrides', rules: [...rules, rules[0]] }).rules);
    expect(compared).toEqual([]);
    expect(unreachedRules(parseAcl({ order: 'deny-overrides', rules: [...rules.slice(0, 500), rules[0]] }).rules)).toEqual([
      { rule: 500, earlier: 0 },
    ]);
  });

  test('reads {username, allow} as a list of all that the user may use', () => {
    const { rules } = parseAcl([{ username: 'bob', allow: ['a/#'] }]);
    expect(rules.map(({ permission, subject, action, topic }) => [permission, subject.value, action, topic])).toEqual([
      ['allow', 'bob', 'pubsub', 'a/#'],
      ['deny', 'bob', 'pubsub', '#'],
      ['deny', 'bob', 'pubsub', '$SYS/#'],
    ]);
    expect(parseAcl([{ username: 'root', allow: ['#'] }]).rules.map((one) => one.permission)).toEqual(['allow']);
  });

  test.each(['', 'eq:', 'eq:a/#/b', 'a/#/b', 'a#', 'a+/b', '+a', '$share/g/a', 'a\0', 'a'.repeat(65536), `\${foo}/a`, 5])(
    'refuses the topic %j',
    (topic) => {
      expect(Object.keys(issuesOf(() => parseAcl([{ ...rule, topic }])))).toEqual(['acl.0.topic']);
    },
  );

  test.each(['#', '+', '/', 'a//b', 'eq:#', 'eq:a/+/b', '$SYS/#', `\${clientId}/\${username}/#`, `dev-\${clientId}/+`])(
    'accepts the topic %j',
    (topic) => {
      expect(parseAcl([{ ...rule, topic }]).rules[0]?.topic).toBe(topic);
    },
  );

  test.each([
    [{ type: 'ip', value: '10.0.0.1' }, true],
    [{ type: 'ip', value: '10.0.0.0/8' }, true],
    [{ type: 'ip', value: '::1/128' }, true],
    [{ type: 'ip', value: '10.0.0.0/33' }, false],
    [{ type: 'ip', value: 'host' }, false],
    [{ type: 'user', value: '*' }, false],
    [{ type: 'clientId' }, false],
    [{ type: 'all' }, true],
    [{ type: 'all', value: 'x' }, false],
    [{ type: 'group', value: 'x' }, true],
    [{ type: 'namespace', value: 'x' }, true],
    [{ type: 'certificate', value: '*' }, false],
    [{ type: 'group' }, false],
    [{ type: 'tribe', value: 'x' }, false],
  ])('judges the subject %j', (subject, isFine) => {
    const work = () => parseAcl([{ ...rule, subject }]);
    if (isFine) expect(work).not.toThrow();
    else expect(Object.keys(issuesOf(work))[0]).toMatch(/^acl\.0\.subject/);
  });

  test('lists all problems', () => {
    const input = {
      order: 'last-match',
      default: 'maybe',
      rules: [5, { permission: 'no', topic: '' }, { ...rule, more: 1 }, { username: 'x', allow: ['#a'] }],
      what: 1,
    };
    expect(Object.keys(issuesOf(() => parseAcl(input))).sort()).toEqual([
      'acl.default',
      'acl.order',
      'acl.rules.0',
      'acl.rules.1.permission',
      'acl.rules.1.subject',
      'acl.rules.1.topic',
      'acl.rules.2.more',
      'acl.rules.3.allow.0',
      'acl.what',
    ]);
  });
});
