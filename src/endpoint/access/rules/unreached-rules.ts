/** Finds rules that decide nothing under `order: first-match`, because an earlier rule matches everything that they match. */

import type { AclRule } from '../config.ts';
import { rightsOf } from './publish-rights.ts';
import { readRuleTopic } from './rule-topic.ts';
import { filterCovers, type Levels, toLevels } from './topic-filters.ts';

/** Comparisons of two rules for one list: a change with many thousands of rules does not hold up the main thread. */
const COMPARISONS_MAX = 200_000;
/** Found rules for one list. */
const FOUND_MAX = 10;

/** Positions in the list. */
export interface UnreachedRule {
  readonly rule: number;
  readonly earlier: number;
}

interface Candidate {
  readonly at: number;
  readonly action: AclRule['action'];
  readonly topic: string;
  /** the kinds of PUBLISH, and by them the QoS of subscriptions, that the rule is about */
  readonly rights: number;
  /** the filter; null: it depends on the client, or is compared to the letter, so it covers no other one */
  readonly covering: Levels | null;
  /** a filter that covers this one for every client; null: there is none */
  readonly covered: Levels | null;
}

/**
 * The first ten such rules. Rules about different clients, users or addresses are not compared, so a network that contains another one goes
 * unnoticed. The search ends after 200,000 comparisons.
 */
export function unreachedRules(rules: readonly AclRule[]): UnreachedRule[] {
  const found: UnreachedRule[] = [];
  const bySubject = new Map<string, Candidate[]>();
  const everyone = candidatesOf(bySubject, 'all');
  let left = COMPARISONS_MAX;
  for (const [at, each] of rules.entries()) {
    const { subject } = each;
    const own = subject.type === 'all' ? everyone : candidatesOf(bySubject, `${subject.type} ${subject.value}`);
    const rule = candidate(at, each);
    const isHiding = (earlier: Candidate): boolean => left-- > 0 && hides(earlier, rule);
    const earlier = everyone.find(isHiding) ?? (own === everyone ? undefined : own.find(isHiding));
    if (left <= 0) break;
    if (earlier === undefined) own.push(rule);
    else if (found.push({ rule: at, earlier: earlier.at }) === FOUND_MAX) break;
  }
  return found;
}

function candidate(at: number, rule: AclRule): Candidate {
  const { action, topic } = rule;
  const rights = rightsOf(rule);
  const { filter, isLiteral } = readRuleTopic(topic);
  const levels = filter.split('/');
  const own = levels.findIndex((level) => level.includes('${'));
  if (own < 0) return { at, action, topic, rights, covering: isLiteral ? null : toLevels(filter), covered: levels };
  // The client's value may have more levels; at the start it may begin with $, which # does not match.
  return { at, action, topic, rights, covering: null, covered: own === 0 ? null : [...levels.slice(0, own), '#'] };
}

function candidatesOf(bySubject: Map<string, Candidate[]>, subject: string): Candidate[] {
  const known = bySubject.get(subject);
  if (known !== undefined) return known;
  const fresh: Candidate[] = [];
  bySubject.set(subject, fresh);
  return fresh;
}

function hides(earlier: Candidate, rule: Candidate): boolean {
  if (earlier.action !== 'pubsub' && earlier.action !== rule.action) return false;
  if ((rule.rights & ~earlier.rights) !== 0) return false;
  if (earlier.topic === rule.topic) return true;
  return earlier.covering !== null && rule.covered !== null && filterCovers(earlier.covering, rule.covered);
}
