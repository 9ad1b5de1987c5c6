/** Reads the rules that an authenticator gives to one client: EMQX's two forms, which are ours too (docs/access.md). */

import { isObject } from '../problems.ts';
import { topicProblem } from './acl-schema.ts';
import type { AclRule } from './config.ts';
import { EVERY_QOS } from './rules/publish-rights.ts';

const RULES_MAX = 256;
const ACTIONS: Readonly<Record<string, AclRule['action']>> = {
  publish: 'publish',
  pub: 'publish',
  subscribe: 'subscribe',
  sub: 'subscribe',
  all: 'pubsub',
  pubsub: 'pubsub',
};
const EVERYBODY = { type: 'all', value: '*' } as const;

/**
 * A list of `{permission, action, topic | topics}`, or `{pub, sub, all}` with lists of topics, which permits these topics and no others.
 * @throws Error when the value is no such thing, or holds more than 256 rules: no part of it may be used then
 */
export function readOwnRules(value: unknown): AclRule[] {
  const rules = Array.isArray(value) ? value.flatMap(readRule) : isObject(value) ? readPermitted(value) : null;
  if (rules === null) throw new Error('acl is neither a list nor an object');
  if (rules.length > RULES_MAX) throw new Error(`acl has more than ${RULES_MAX} rules`);
  return rules;
}

function readRule(value: unknown): AclRule[] {
  if (!isObject(value)) throw new Error('acl has a rule that is no object');
  const { permission, action = 'all', topic, topics, qos, retain, ...unknown } = value;
  const [strange] = Object.keys(unknown);
  if (strange !== undefined) throw new Error('acl has a rule with an unknown key');
  if (permission !== 'allow' && permission !== 'deny') throw new Error('acl has a rule whose permission is neither allow nor deny');
  const written = topics === undefined ? [topic] : topics;
  if (!Array.isArray(written) || written.length === 0 || (topics !== undefined && topic !== undefined))
    throw new Error('acl has a rule without topic');
  const kinds = kindsOf(actionOf(action), qosOf(qos), retainOf(retain));
  return written.flatMap((each) => {
    const about = readTopic(each);
    return kinds.map((kind) => ({ permission, subject: EVERYBODY, topic: about, ...kind }));
  });
}

/** RETAIN limits the publish part of a rule: a subscription has no such flag. */
function kindsOf(
  action: AclRule['action'],
  qos: Pick<AclRule, 'qos'>,
  retain: Pick<AclRule, 'retain'>,
): Omit<AclRule, 'permission' | 'subject' | 'topic'>[] {
  if (retain.retain === undefined || action === 'subscribe') return [{ action, ...qos }];
  const publish = { action: 'publish', ...qos, ...retain } as const;
  return action === 'publish' ? [publish] : [publish, { action: 'subscribe', ...qos }];
}

function qosOf(value: unknown): Pick<AclRule, 'qos'> {
  if (value === undefined || value === null || value === 'all') return {};
  const given: unknown[] = Array.isArray(value) ? value : [value];
  const qos = EVERY_QOS.filter((each) => given.includes(each));
  if (qos.length === 0 || given.some((each) => !EVERY_QOS.some((known) => known === each)))
    throw new Error('acl has a qos that is not 0, 1, 2 or a list of them');
  return qos.length === EVERY_QOS.length ? {} : { qos };
}

function retainOf(value: unknown): Pick<AclRule, 'retain'> {
  if (value === undefined || value === null || value === 'all') return {};
  if (typeof value !== 'boolean') throw new Error('acl has a retain that is not true, false or all');
  return { retain: value };
}

/** Everything that is not permitted is denied. `#` does not match `$SYS`. */
function readPermitted(value: Record<string, unknown>): AclRule[] {
  const allows = Object.entries(value).flatMap(([action, topics]): AclRule[] => {
    if (!Array.isArray(topics)) throw new Error('acl has topics that are no list');
    const as = actionOf(action);
    return topics.map((topic) => ({ permission: 'allow', subject: EVERYBODY, action: as, topic: readTopic(topic) }));
  });
  const deny = (topic: string): AclRule => ({ permission: 'deny', subject: EVERYBODY, action: 'pubsub', topic });
  return [...allows, deny('#'), deny('$SYS/#')];
}

function actionOf(action: unknown): AclRule['action'] {
  const known = typeof action === 'string' && Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
  if (known === undefined) throw new Error('acl has an action that is not publish, subscribe or all');
  return known;
}

/** `eq t/#` is EMQX's form of `eq:t/#`, `${clientid}` of `${clientId}`. */
function readTopic(value: unknown): string {
  if (typeof value !== 'string') throw new Error('acl has a topic that is no text');
  const topic = value.replace(/^eq /, 'eq:').replaceAll('${clientid}', '${clientId}');
  const problem = topicProblem(topic);
  if (problem !== null) throw new Error(`acl has a topic that ${problem}`);
  return topic;
}
