/** Decides which topics one client may publish and subscribe to (docs/access.md). */

import type { AclConfig, AclRule } from '../../../src/endpoint/endpoint.ts';
import { type AclSubject, compileAcl } from './compiled-acl.ts';
import { filterCovers, filterMatches, filtersIntersect, type Levels, toLevels } from './topic-filters.ts';

export type { AclSubject } from './compiled-acl.ts';

interface Rules {
  allow: Levels[];
  deny: Levels[];
}

/**
 * The rules of one client, collected per connection and again when the rules change. Only the rules about the client are consulted.
 *
 * Decision: a matching allow permits; otherwise a matching deny forbids; otherwise the default decides. For a subscription an allow matches
 * when it covers the whole requested filter, a deny already when the two have a topic in common: `deny secret/#` forbids a subscription to
 * `#`, because messages are not checked again on their way to the subscriber.
 */
export class Authoriser {
  readonly #isAllowedByDefault: boolean;
  readonly #publish: Rules = { allow: [], deny: [] };
  readonly #subscribe: Rules = { allow: [], deny: [] };

  constructor(acl: AclConfig, who: AclSubject) {
    this.#isAllowedByDefault = acl.default === 'allow';
    for (const rule of compileAcl(acl).rulesFor(who)) {
      const filter = substitute(rule, who);
      if (filter === null) continue;
      const levels = toLevels(filter);
      if (rule.action !== 'subscribe') this.#publish[rule.permission].push(levels);
      if (rule.action !== 'publish') this.#subscribe[rule.permission].push(levels);
    }
  }

  /** `topic` is a valid topic name. */
  mayPublish(topic: string): boolean {
    const { allow, deny } = this.#publish;
    if (allow.length === 0 && deny.length === 0) return this.#isAllowedByDefault;
    const levels = topic.split('/');
    const matches = (filter: Levels) => filterMatches(filter, levels);
    return allow.some(matches) || (this.#isAllowedByDefault && !deny.some(matches));
  }

  /** True when no subscription can be refused. */
  get allowsAllSubscriptions(): boolean {
    return this.#isAllowedByDefault && this.#subscribe.deny.length === 0;
  }

  /** Whether a message of this topic may reach the client, as if it subscribed to this topic alone. `topic` is a valid topic name. */
  mayReceive(topic: string): boolean {
    return this.#allowsFilter(topic);
  }

  /**
   * `filter` is a valid topic filter. The rules judge a shared subscription (`$share/group/filter`, `$queue/filter`) by the part after
   * the group.
   */
  maySubscribe(filter: string): boolean {
    return this.#allowsFilter(withoutShare(filter));
  }

  #allowsFilter(filter: string): boolean {
    const { allow, deny } = this.#subscribe;
    if (allow.length === 0 && deny.length === 0) return this.#isAllowedByDefault;
    const wanted = toLevels(filter);
    if (allow.some((levels) => filterCovers(levels, wanted))) return true;
    return this.#isAllowedByDefault && !deny.some((levels) => filtersIntersect(levels, wanted));
  }
}

function withoutShare(filter: string): string {
  if (filter.startsWith('$queue/')) return filter.slice('$queue/'.length);
  return filter.startsWith('$share/') ? filter.slice(filter.indexOf('/', '$share/'.length) + 1) : filter;
}

/**
 * Inserts the client's values into the topic of a rule; null when the rule matches nothing for this client. A value with `+`, `#` or `/`,
 * or one that would make the topic begin with `$`, must not widen an allow. A missing user name leaves nothing to insert. A deny keeps a
 * value with `/`, as more levels: a deny without it would let a client escape by the choice of its identifier.
 */
function substitute(rule: AclRule, who: AclSubject): string | null {
  let isUsable = true;
  const forbidden = rule.permission === 'allow' ? /[+#/]/ : /[+#]/;
  const filter = rule.topic.replaceAll(/\$\{(clientId|username)\}/g, (_placeholder, name: 'clientId' | 'username', offset: number) => {
    const value = who[name];
    if (value === null || value === '' || forbidden.test(value)) isUsable = false;
    else if (offset === 0 && value.startsWith('$') && rule.permission === 'allow') isUsable = false;
    return value ?? '';
  });
  return isUsable ? filter : null;
}
