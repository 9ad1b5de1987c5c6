/** Decisions of the ACL, and that no client value widens a rule. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAcl } from '../../../src/endpoint/schema.ts';
import { Authoriser } from '../../../workers/shared/access/authoriser.ts';

const bob = { clientId: 'c1', username: 'bob', ip: '10.1.2.3' };
const rule = (permission: string, topic: string, action = 'pubsub', subject: object = { type: 'all' }) => ({
  permission,
  topic,
  action,
  subject,
});
const make = (rules: object[], who = {}, byDefault = 'allow') =>
  new Authoriser(parseAcl({ default: byDefault, rules }), { ...bob, ...who });

describe('Authoriser', () => {
  test('follows the default without a matching rule', () => {
    expect([make([]).mayPublish('a'), make([]).maySubscribe('#')]).toEqual([true, true]);
    expect([make([], {}, 'deny').mayPublish('a'), make([], {}, 'deny').maySubscribe('a')]).toEqual([false, false]);
    expect(make([rule('deny', 'x')]).mayPublish('y')).toBe(true);
  });

  test('lets an allow win over a deny, in any order', () => {
    for (const rules of [
      [rule('deny', 'a/#'), rule('allow', 'a/b')],
      [rule('allow', 'a/b'), rule('deny', 'a/#')],
    ]) {
      const acl = make(rules);
      expect([acl.mayPublish('a/b'), acl.mayPublish('a/c'), acl.maySubscribe('a/b'), acl.maySubscribe('a/c')]).toEqual([
        true,
        false,
        true,
        false,
      ]);
    }
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
        const client = new Authoriser(acl, { ...bob, clientId });
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
    new Authoriser(acl, bob);
    // The fastest hundred of a thousand: the machine may stand still for a moment.
    const hundreds = Array.from({ length: 10 }, (_, round) => {
      const startedAt = performance.now();
      for (let index = 0; index < 100; index += 1) new Authoriser(acl, { ...bob, username: `u${round * 100 + index}` });
      return performance.now() - startedAt;
    });
    expect(Math.min(...hundreds)).toBeLessThan(50);
  });
});
