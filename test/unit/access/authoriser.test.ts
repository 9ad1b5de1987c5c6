/** Decisions of the ACL, and that no client value widens a rule. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Authoriser } from '../../../src/endpoint/access/rules/authoriser.ts';
import { ALL_PUBLISH_RIGHTS, publishRight, publishRightOf } from '../../../src/endpoint/access/rules/publish-rights.ts';
import { filterMatches, toLevels } from '../../../src/endpoint/access/rules/topic-filters.ts';
import type { AclConfig, AclRule } from '../../../src/endpoint/endpoint.ts';
import { parseAcl } from '../../../src/endpoint/schema.ts';

/** About QoS 0 without RETAIN, unless a test says more. */
class Rules extends Authoriser {
  override mayPublish(topic: string, qos = 0, retain = false): boolean {
    return super.mayPublish(topic, qos, retain);
  }

  override maySubscribe(filter: string, qos = 0): boolean {
    return super.maySubscribe(filter, qos);
  }
}

const bob = {
  clientId: 'c1',
  username: 'bob',
  ip: '10.1.2.3',
  groups: [] as string[],
  namespace: 'default',
  certCommonName: null as string | null,
};
const rule = (permission: string, topic: string, action = 'pubsub', subject: object = { type: 'all' }) => ({
  permission,
  topic,
  action,
  subject,
});
const make = (rules: object[], who = {}, byDefault = 'allow', order: string | null = null) =>
  new Rules(parseAcl({ order, default: byDefault, rules }), { ...bob, ...who });
/** The allowed uses of each topic: p(ublish), r(eceive), s(ubscribe). */
const uses = (acl: Rules, topics: string[]) =>
  topics.map((topic) =>
    [acl.mayPublish(topic) && 'p', acl.mayReceive(topic) && 'r', acl.maySubscribe(topic) && 's'].filter(Boolean).join(''),
  );

describe('Authoriser', () => {
  test('follows the default without a matching rule', () => {
    expect([make([]).mayPublish('a'), make([]).maySubscribe('#')]).toEqual([true, true]);
    expect([make([], {}, 'deny').mayPublish('a'), make([], {}, 'deny').maySubscribe('a')]).toEqual([false, false]);
    expect(make([rule('deny', 'x')]).mayPublish('y')).toBe(true);
  });

  test('knows groups, namespaces and certificates', () => {
    const of = (type: string, value: string) => rule('allow', `${type}/#`, 'pubsub', { type, value });
    const rules = [
      of('group', 'staff'),
      of('namespace', 'plant'),
      of('certificate', 'box'),
      rule('allow', 'own/${certCommonName}/#'),
      rule('deny', 'own/${certCommonName}/x', 'publish'),
    ];
    const topics = ['group/a', 'namespace/a', 'certificate/a', 'own/box/a', 'own/box/x', 'own//a'];
    expect(uses(make(rules, {}, 'deny'), topics)).toEqual(['', '', '', '', '', '']);
    const all = { groups: ['other', 'staff'], namespace: 'plant', certCommonName: 'box' };
    expect(uses(make(rules, all, 'deny'), topics)).toEqual(['prs', 'prs', 'prs', 'prs', 'prs', '']);
    expect(uses(make(rules, { certCommonName: 'a/b' }, 'deny'), ['own/a/b/c'])).toEqual(['']);
    expect(uses(make(rules, { username: 'staff', clientId: 'plant' }, 'deny'), topics)).toEqual(['', '', '', '', '', '']);
  });

  const [deny, allow] = [rule('deny', 'a/#'), rule('allow', 'a/b')];
  test.each([
    ['first-match', [deny, allow], ['', '', 'prs']],
    ['first-match', [allow, deny], ['prs', '', 'prs']],
    ['first-match', [rule('deny', 'a/b', 'publish'), rule('allow', 'a/+'), deny], ['rs', 'prs', 'prs']],
    ['deny-overrides', [deny, allow], ['', '', 'prs']],
    ['deny-overrides', [allow, deny], ['', '', 'prs']],
    ['allow-overrides', [deny, allow], ['prs', '', 'prs']],
    ['allow-overrides', [allow, deny], ['prs', '', 'prs']],
  ])('%s decides among %j', (order, rules, wanted) => {
    expect(uses(make(rules, {}, 'allow', order), ['a/b', 'a/c', 'x'])).toEqual(wanted);
    const denied = wanted.map((use, index) => (index === 2 ? '' : use));
    expect(uses(make(rules, {}, 'deny', order), ['a/b', 'a/c', 'x'])).toEqual(denied);
  });

  test('keeps the order of rules about different subjects', () => {
    const user = { type: 'user', value: 'bob' };
    const client = { type: 'clientId', value: 'c1' };
    const ip = { type: 'ip', value: '10.0.0.0/8' };
    const rules = [rule('allow', 'a', 'pubsub', ip), rule('deny', 'a'), rule('deny', 'b'), rule('allow', 'b', 'pubsub', user)];
    expect(uses(make([...rules, rule('allow', 'c', 'pubsub', client), rule('deny', 'c')]), ['a', 'b', 'c'])).toEqual(['prs', '', 'prs']);
    expect(uses(make([...rules, rule('deny', 'c'), rule('allow', 'c', 'pubsub', client)]), ['a', 'b', 'c'])).toEqual(['prs', '', '']);
  });

  test('first-match: a deny leaves a subscription what an earlier allow covers', () => {
    const acl = make([rule('allow', 'a/b'), rule('allow', 'a/c/#'), rule('deny', 'a/b'), rule('deny', 'a/c/+'), rule('deny', 'a/d')]);
    for (const filter of ['a/b', 'a/c/#', 'a/c/x', 'a/c', 'a/x', 'b/#', '+/b', '+/c/+'])
      expect([filter, acl.maySubscribe(filter)]).toEqual([filter, true]);
    for (const filter of ['a/d', 'a/+', '#', '+/d', 'a/#']) expect([filter, acl.maySubscribe(filter)]).toEqual([filter, false]);
  });

  test('a subscription brings no topic whose first rule is a deny', () => {
    const level = fc.constantFrom('a', 'b', '+');
    const filter = fc
      .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([levels, isOpen]) => [...levels, ...(isOpen ? ['#'] : [])].join('/'));
    const qos = fc.constantFrom(undefined, [0], [1, 2], [0, 1, 2]);
    const rules = fc.array(fc.record({ permission: fc.constantFrom('allow', 'deny'), topic: filter, qos }), { maxLength: 5 });
    const names = ['a', 'b', 'c'];
    const topics = [
      ...names,
      ...names.flatMap((x) => names.map((y) => `${x}/${y}`)),
      'a/a/a',
      'a/b/c',
      'b/b/b',
      'b/c/a',
      'c/c/c',
      'a/b/c/d',
    ];
    const orders = fc.constantFrom('first-match', 'deny-overrides', 'allow-overrides');
    fc.assert(
      fc.property(rules, filter, orders, fc.constantFrom('allow', 'deny'), fc.nat(2), (list, wanted, order, byDefault, asked) => {
        const acl = make(
          list.map(({ permission, topic, qos: only }) => ({ ...rule(permission, topic), qos: only })),
          {},
          byDefault,
          order,
        );
        if (!acl.maySubscribe(wanted, asked)) return;
        for (const topic of topics)
          if (filterMatches(toLevels(wanted), topic.split('/'))) expect([topic, acl.mayReceive(topic)]).toEqual([topic, true]);
      }),
      { numRuns: 2_000 },
    );
  });

  test('eq: compares the filter to the letter', () => {
    const acl = make([rule('deny', 'eq:a/+'), rule('deny', 'eq:x/y'), rule('deny', `eq:own/\${clientId}/#`)]);
    for (const filter of ['a/+', 'x/y', '$share/g/a/+', 'own/c1/#']) expect([filter, acl.maySubscribe(filter)]).toEqual([filter, false]);
    for (const filter of ['a/b', 'a/#', '#', 'x/+', 'own/c2/#']) expect([filter, acl.maySubscribe(filter)]).toEqual([filter, true]);
    expect([acl.mayPublish('x/y'), acl.mayPublish('a/b'), acl.mayReceive('x/y'), acl.mayReceive('a/b')]).toEqual([false, true, true, true]);
    const narrow = make([rule('allow', 'eq:a/+')], {}, 'deny');
    expect(['a/+', 'a/b', 'a/#'].map((filter) => narrow.maySubscribe(filter))).toEqual([true, false, false]);
    expect([narrow.mayReceive('a/b'), narrow.mayReceive('b')]).toEqual([true, false]);
  });

  test('a rule with qos or retain is about these messages and subscriptions alone', () => {
    const acl = make([
      { ...rule('deny', 'a', 'publish'), qos: [1, 2] },
      { ...rule('deny', 'b', 'publish'), retain: true },
      { ...rule('allow', 'c', 'publish'), qos: 0, retain: false },
      rule('deny', 'c', 'publish'),
      { ...rule('deny', 's/#', 'subscribe'), qos: 2 },
    ]);
    const allowed = (topic: string) =>
      [0, 1, 2].flatMap((qos) =>
        [false, true].filter((retain) => acl.mayPublish(topic, qos, retain)).map((retain) => `${qos}${retain ? 'r' : ''}`),
      );
    expect(['a', 'b', 'c', 'd'].map(allowed)).toEqual([['0', '0r'], ['0', '1', '2'], ['0'], ['0', '0r', '1', '1r', '2', '2r']]);
    for (const topic of ['a', 'b', 'c', 'd'])
      for (const qos of [0, 1, 2])
        for (const retain of [false, true])
          expect((acl.publishRights(topic) & publishRight(qos, retain)) !== 0).toBe(acl.mayPublish(topic, qos, retain));
    expect(acl.publishRights('d')).toBe(ALL_PUBLISH_RIGHTS);
    expect([0, 1, 2].map((qos) => acl.maySubscribe('s/1', qos))).toEqual([true, true, false]);
    // Messages still come by a subscription of QoS 0 or 1.
    expect(acl.mayReceive('s/1')).toBe(true);
    expect(acl.ruleFor({ action: 'publish', topic: 'a', qos: 1, retain: false })).toMatchObject({ topic: 'a', qos: [1, 2] });
    expect(acl.ruleFor({ action: 'subscribe', topic: 's/1', qos: 1, retain: false })).toBe(null);
  });

  test('the first byte of a PUBLISH names its right', () => {
    for (const qos of [0, 1, 2])
      for (const retain of [false, true])
        for (const dup of [0, 8]) expect(publishRightOf(0x30 | dup | (qos << 1) | Number(retain))).toBe(publishRight(qos, retain));
  });

  test('tells publish from subscribe', () => {
    const acl = make([rule('allow', 'p/#', 'publish'), rule('allow', 's/#', 'subscribe')], {}, 'deny');
    expect([acl.mayPublish('p/1'), acl.maySubscribe('p/1'), acl.mayPublish('s/1'), acl.maySubscribe('s/1')]).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });

  test('does not leak a denied topic through a wider subscription', () => {
    const acl = make([rule('deny', 'secret/#')]);
    for (const filter of ['#', '+/x', 'secret', 'secret/a', '+', '$share/g/#', '$queue/+/a'])
      expect([filter, acl.maySubscribe(filter)]).toEqual([filter, false]);
    for (const filter of ['open/#', 'open/+', '$share/secret/open', '$SYS/#'])
      expect([filter, acl.maySubscribe(filter)]).toEqual([filter, true]);
  });

  test('needs an allow that covers the whole subscription', () => {
    const acl = make([rule('allow', 'a/+')], {}, 'deny');
    expect([acl.maySubscribe('a/b'), acl.maySubscribe('a/+'), acl.maySubscribe('a/#'), acl.maySubscribe('+/b')]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect([acl.maySubscribe('$share/g/a/+'), acl.maySubscribe('$share/a/b')]).toEqual([true, false]);
  });

  test.each([
    [{ type: 'user', value: 'bob' }, true],
    [{ type: 'user', value: 'Bob' }, false],
    [{ type: 'clientId', value: 'c1' }, true],
    [{ type: 'clientId', value: 'bob' }, false],
    [{ type: 'ip', value: '10.1.2.3' }, true],
    [{ type: 'ip', value: '10.0.0.0/8' }, true],
    [{ type: 'ip', value: '10.1.2.4' }, false],
    [{ type: 'ip', value: '::1' }, false],
  ])('applies a rule about %j: %s', (subject, applies) => {
    expect(make([rule('deny', 'a', 'pubsub', subject)]).mayPublish('a')).toBe(!applies);
    expect(make([rule('deny', 'a', 'pubsub', subject)], { ip: '::ffff:10.1.2.3' }).mayPublish('a')).toBe(!applies);
  });

  test('is about no user without a user name', () => {
    expect(make([rule('deny', 'a', 'pubsub', { type: 'user', value: 'bob' })], { username: null }).mayPublish('a')).toBe(true);
  });

  test('puts the client in the place of placeholders', () => {
    const acl = make([rule('allow', `d/\${clientId}/\${username}/#`)], {}, 'deny');
    expect([
      acl.mayPublish('d/c1/bob/x'),
      acl.mayPublish('d/c2/bob/x'),
      acl.maySubscribe('d/c1/bob/#'),
      acl.maySubscribe('d/+/bob/#'),
    ]).toEqual([true, false, true, false]);
    expect(make([rule('allow', `d/\${username}`)], { username: null }, 'deny').mayPublish('d/')).toBe(false);
  });

  test.each(['+', '#', 'a/b', '+/x', 'a/#', ''])('matches nothing for the client identifier %j', (clientId) => {
    const acl = make([rule('allow', `d/\${clientId}/#`)], { clientId }, 'deny');
    for (const topic of ['d/a', 'd/a/b', 'd/x', 'd', 'd/', 'd//']) expect(acl.mayPublish(topic)).toBe(false);
    for (const filter of ['d/#', 'd/+', 'd/+/x', 'd/a/#', 'd/a/b']) expect(acl.maySubscribe(filter)).toBe(false);
  });

  test('does not let a client call itself $SYS', () => {
    const acl = make([rule('allow', `\${clientId}/#`)], { clientId: '$SYS' }, 'deny');
    expect([acl.maySubscribe('$SYS/#'), acl.mayPublish('$SYS/x')]).toEqual([false, false]);
  });

  test('does not let a client escape a deny by a / in its identifier', () => {
    expect(make([rule('deny', `cmd/\${clientId}`)], { clientId: 'a/b' }).mayPublish('cmd/a/b')).toBe(false);
  });

  test('never permits outside the level that a placeholder stands for', () => {
    const acl = parseAcl({ default: 'deny', rules: [rule('allow', `d/\${clientId}/x`)] });
    const part = fc.constantFrom('+', '#', '/', 'a', 'b', '$', `\${username}`);
    const text = fc.array(part, { maxLength: 4 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, text, (clientId, other) => {
        const client = new Rules(acl, { ...bob, clientId });
        const isOwn = other === clientId && other !== '' && !/[+#/]/.test(other);
        expect(client.mayPublish(`d/${other}/x`)).toBe(isOwn);
        expect(client.maySubscribe(`d/${other}/x`)).toBe(isOwn);
      }),
    );
  });

  test('limits a user of the {username, allow} form to the list', () => {
    const acl = make([{ username: 'bob', allow: ['test/#'] }]);
    expect([
      acl.mayPublish('test/a'),
      acl.mayPublish('a'),
      acl.maySubscribe('#'),
      acl.maySubscribe('$SYS/#'),
      acl.maySubscribe('test/+'),
    ]).toEqual([true, false, false, false, true]);
    expect(make([{ username: 'bob', allow: ['test/#'] }], { username: 'eve' }).mayPublish('a')).toBe(true);
  });

  test('is quick to make for one client among 20,000 rules', () => {
    const rules = Array.from({ length: 20_000 }, (_, index) => rule('allow', `t/${index}`, 'pubsub', { type: 'user', value: `u${index}` }));
    const acl = parseAcl({ default: 'deny', rules });
    new Rules(acl, bob);
    // The fastest hundred of a thousand: the machine may stand still for a moment.
    const hundreds = Array.from({ length: 10 }, (_, round) => {
      const startedAt = performance.now();
      for (let index = 0; index < 100; index += 1) new Rules(acl, { ...bob, username: `u${round * 100 + index}` });
      return performance.now() - startedAt;
    });
    expect(Math.min(...hundreds)).toBeLessThan(50);
  });
});

describe("a client's own rules", () => {
  const all = { type: 'all', value: '*' } as const;
  const own = (permission: AclRule['permission'], topic: string, action: AclRule['action'] = 'pubsub'): AclRule => ({
    permission,
    subject: all,
    action,
    topic,
  });
  const acl = (order: AclConfig['order'], ...rules: AclRule[]): AclConfig => ({ order, default: 'allow', rules });
  const who = { ...bob, clientId: 'c', username: 'u', ip: '192.0.2.1' };

  test.each(['first-match', 'deny-overrides', 'allow-overrides'] as const)('come first, whatever the order of the others: %s', (order) => {
    const shared = acl(order, own('deny', 'closed/#'), own('allow', 'open/#'));
    const judge = new Rules(shared, who, [own('allow', 'closed/${clientId}/#'), own('deny', 'open/no'), own('deny', 'eq:#')]);
    expect(['closed/c/x', 'closed/d/x', 'open/no', 'open/yes', 'other'].map((topic) => judge.mayPublish(topic))).toEqual([
      true,
      false,
      false,
      true,
      true,
    ]);
    expect(
      ['closed/c/x', 'closed/c/#', 'closed/#', 'closed/+/x', 'open/+', 'open/no', 'open/yes', '#'].map((f) => judge.maySubscribe(f)),
    ).toEqual([true, true, false, false, false, false, true, false]);
    expect(['closed/c/x', 'closed/d/x', 'open/no', 'other'].map((topic) => judge.mayReceive(topic))).toEqual([true, false, false, true]);
    expect(judge.allowsAllSubscriptions).toBe(false);
    expect(new Rules(acl(order), who, [own('deny', 'x')]).allowsAllSubscriptions).toBe(false);
    expect(judge.ruleFor({ action: 'publish', topic: 'open/no', qos: 0, retain: false })).toEqual(own('deny', 'open/no'));
  });

  test.each(['first-match', 'deny-overrides', 'allow-overrides'] as const)(
    'an own allow frees the part of a denied filter that it covers: %s',
    (order) => {
      const shared = acl(order, own('deny', 'a/secret'));
      expect(new Rules(shared, who).maySubscribe('a/+')).toBe(false);
      expect(new Rules(shared, who, [own('allow', 'a/secret')]).maySubscribe('a/+')).toBe(true);
      expect(new Rules(shared, who, [own('allow', 'a/secret', 'publish')]).maySubscribe('a/+')).toBe(false);
    },
  );
});
