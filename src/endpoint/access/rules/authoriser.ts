/** Decides which topics one client may publish and subscribe to (docs/access.md). */

import type { AclConfig, AclOrder, AclRule } from '../config.ts';
import { type AclSubject, compileAcl } from './compiled-acl.ts';
import { ALL_PUBLISH_RIGHTS, EVERY_QOS, publishRight, rightsOf } from './publish-rights.ts';
import { OWN_PLACEHOLDERS, readRuleTopic } from './rule-topic.ts';
import { filterCovers, filterMatches, filtersIntersect, intersectionOf, type Levels, toLevels } from './topic-filters.ts';

export type { AclSubject } from './compiled-acl.ts';

/** The request of a client that the rules judge. */
export interface AclRequest {
  readonly action: 'publish' | 'subscribe';
  /** valid topic name to publish, or filter to subscribe */
  readonly topic: string;
  /** of the message, or the requested one of the subscription; 0, 1 or 2 */
  readonly qos: number;
  /** of the message */
  readonly retain: boolean;
}

/** A rule as it is for one client. */
interface ClientRule {
  /** as it stands in the configuration */
  readonly rule: AclRule;
  readonly permission: AclRule['permission'];
  readonly filter: string;
  readonly levels: Levels;
  /** the filter of a request must be this one to the letter (`eq:`) */
  readonly isLiteral: boolean;
  /** the kinds of PUBLISH that the rule is about */
  readonly rights: number;
}

/**
 * The rules of one client, collected per connection and again when the rules change. Only the rules about the client are consulted.
 *
 * A rule decides about a subscription as a whole. An allow must cover the requested filter. A deny forbids already when the two have a topic
 * in common that no earlier allow covers: `deny secret/#` forbids a subscription to `#`, because messages are not checked again on their
 * way to the subscriber.
 */
export class Authoriser {
  readonly #order: AclOrder;
  readonly #isAllowedByDefault: boolean;
  readonly #own: RuleSet;
  readonly #shared: RuleSet;
  /** false: no rule about publishing asks for QoS or RETAIN, so one decision is about all kinds of PUBLISH */
  readonly #isPublishConditional: boolean;

  /** @param ownRules about this client alone: the first of them that matches decides before the rules of `acl` do */
  constructor(acl: AclConfig, who: AclSubject, ownRules: readonly AclRule[] = []) {
    this.#order = acl.order;
    this.#isAllowedByDefault = acl.default === 'allow';
    this.#own = toRuleSet(ownRules, who);
    this.#shared = toRuleSet(compileAcl(acl).rulesFor(who), who);
    const isConditional = ({ rights }: ClientRule): boolean => rights !== ALL_PUBLISH_RIGHTS;
    this.#isPublishConditional = this.#own.publish.some(isConditional) || this.#shared.publish.some(isConditional);
  }

  /** `topic` is a valid topic name. */
  mayPublish(topic: string, qos: number, retain: boolean): boolean {
    return this.#isAllowed(this.#publishRule(topic, publishRight(qos, retain)));
  }

  /** The kinds of PUBLISH that the client may send to a topic, as bits (publish-rights.ts). `topic` is a valid topic name. */
  publishRights(topic: string): number {
    if (!this.#isPublishConditional) return this.mayPublish(topic, 0, false) ? ALL_PUBLISH_RIGHTS : 0;
    let rights = 0;
    for (const qos of EVERY_QOS)
      for (const retain of [false, true]) if (this.mayPublish(topic, qos, retain)) rights |= publishRight(qos, retain);
    return rights;
  }

  /** True when no subscription can be refused. */
  get allowsAllSubscriptions(): boolean {
    const allows = ({ permission }: ClientRule) => permission === 'allow';
    return this.#isAllowedByDefault && this.#own.subscribe.every(allows) && this.#shared.subscribe.every(allows);
  }

  /**
   * Whether a message of this topic may reach the client by a subscription of some QoS. A literal allow lets its subscription in, and so
   * the topics that it matches; a literal deny is about one subscription and no topic. `topic` is a valid topic name.
   */
  mayReceive(topic: string): boolean {
    const [own, shared] = [this.#own.subscribe, this.#shared.subscribe];
    if (own.length + shared.length === 0) return this.#isAllowedByDefault;
    const levels = topic.split('/');
    const isMatching = ({ isLiteral, permission, levels: pattern }: ClientRule) =>
      !(isLiteral && permission === 'deny') && filterMatches(pattern, levels);
    const [ownMatching, sharedMatching] = [own.filter(isMatching), shared.filter(isMatching)];
    return EVERY_QOS.some((qos) => {
      const isAbout = (rule: ClientRule) => isAboutSubscriptionsOf(rule, qos);
      return this.#isAllowed(ownMatching.find(isAbout) ?? this.#decisive(sharedMatching, isAbout));
    });
  }

  /**
   * `filter` is a valid topic filter. The rules judge a shared subscription (`$share/group/filter`, `$queue/filter`) by the part after
   * the group.
   */
  maySubscribe(filter: string, qos: number): boolean {
    return this.#isAllowed(this.#subscribeRule(filter, qos));
  }

  /** The rule that decides about a request; null: the default does. */
  ruleFor({ action, topic, qos, retain }: AclRequest): AclRule | null {
    const decisive = action === 'publish' ? this.#publishRule(topic, publishRight(qos, retain)) : this.#subscribeRule(topic, qos);
    return decisive?.rule ?? null;
  }

  #isAllowed(decisive: ClientRule | null): boolean {
    return decisive === null ? this.#isAllowedByDefault : decisive.permission === 'allow';
  }

  #publishRule(topic: string, right: number): ClientRule | null {
    const [own, shared] = [this.#own.publish, this.#shared.publish];
    if (own.length + shared.length === 0) return null;
    const levels = topic.split('/');
    const matches = ({ isLiteral, filter, levels: pattern, rights }: ClientRule) =>
      (rights & right) !== 0 && (isLiteral ? filter === topic : filterMatches(pattern, levels));
    return own.find(matches) ?? this.#decisive(shared, matches);
  }

  #subscribeRule(filter: string, qos: number): ClientRule | null {
    const [own, shared] = [this.#own.subscribe, this.#shared.subscribe];
    if (own.length + shared.length === 0) return null;
    const bare = withoutShare(filter);
    const wanted = toLevels(bare);
    const covers = (rule: ClientRule) => (rule.isLiteral ? rule.filter === bare : filterCovers(rule.levels, wanted));
    const overlaps = (rule: ClientRule) =>
      isAboutSubscriptionsOf(rule, qos) && (rule.isLiteral ? rule.filter === bare : filtersIntersect(rule.levels, wanted));
    /** earlier allows for a part of the filter */
    const parts: Levels[] = [];
    const isPermitted = (rule: ClientRule) =>
      !rule.isLiteral && parts.some((part) => filterCovers(part, intersectionOf(rule.levels, wanted)));
    const firstOf = (rules: readonly ClientRule[]): ClientRule | null => {
      for (const rule of rules) {
        if (!overlaps(rule)) continue;
        if (rule.permission === 'allow') {
          if (covers(rule)) return rule;
          parts.push(rule.levels);
        } else if (!isPermitted(rule)) return rule;
      }
      return null;
    };
    const decisive = firstOf(own);
    if (decisive !== null) return decisive;
    if (this.#order === 'first-match') return firstOf(shared);
    return this.#decisive(shared, (rule) => overlaps(rule) && (rule.permission === 'allow' ? covers(rule) : !isPermitted(rule)));
  }

  #decisive(rules: readonly ClientRule[], matches: (rule: ClientRule) => boolean): ClientRule | null {
    if (this.#order === 'first-match') return rules.find(matches) ?? null;
    const stronger = this.#order === 'deny-overrides' ? 'deny' : 'allow';
    const decisive =
      rules.find((rule) => rule.permission === stronger && matches(rule)) ??
      rules.find((rule) => rule.permission !== stronger && matches(rule));
    return decisive ?? null;
  }
}

/** The rules of one client by what they are about. */
interface RuleSet {
  readonly publish: readonly ClientRule[];
  readonly subscribe: readonly ClientRule[];
}

function toRuleSet(rules: readonly AclRule[], who: AclSubject): RuleSet {
  const publish: ClientRule[] = [];
  const subscribe: ClientRule[] = [];
  for (const rule of rules) {
    const { filter: written, isLiteral } = readRuleTopic(rule.topic);
    const filter = substitute(rule, written, who);
    if (filter === null) continue;
    const own = { rule, permission: rule.permission, filter, levels: toLevels(filter), isLiteral, rights: rightsOf(rule) };
    if (rule.action !== 'subscribe') publish.push(own);
    if (rule.action !== 'publish') subscribe.push(own);
  }
  return { publish, subscribe };
}

function isAboutSubscriptionsOf({ rule }: ClientRule, qos: number): boolean {
  return rule.qos === undefined || (rule.qos as number[]).includes(qos);
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
function substitute({ permission }: AclRule, topic: string, who: AclSubject): string | null {
  let isUsable = true;
  const forbidden = permission === 'allow' ? /[+#/]/ : /[+#]/;
  const filter = topic.replaceAll(OWN_PLACEHOLDERS, (_placeholder, name: 'clientId' | 'username' | 'certCommonName', offset: number) => {
    const value = who[name];
    if (value === null || value === '' || forbidden.test(value)) isUsable = false;
    else if (offset === 0 && value.startsWith('$') && permission === 'allow') isUsable = false;
    return value ?? '';
  });
  return isUsable ? filter : null;
}
