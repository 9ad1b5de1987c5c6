/** Turns ACL rules, in our and in FluxMQ's spellings, into their normal form (docs/access.md). */

import { isIP } from 'node:net';
import { z } from 'zod';
import type { AclConfig, AclRule } from '../endpoint.ts';
import { check, isObject, join, Problems, splitNulls } from '../problems.ts';
import { oneOf } from '../value-types.ts';
import { SUBJECT_TYPES } from './config.ts';
import { OWN_PLACEHOLDERS, readRuleTopic } from './rules/rule-topic.ts';
import { unreachedRules } from './rules/unreached-rules.ts';

const LATER_TYPES = new Set(['http', 'database', 'sql', 'redis']);
const TOPIC_BYTES_MAX = 65535;

const object = { error: (issue: { code?: string }) => (issue.code === 'invalid_type' ? 'must be an object' : undefined) };
const subjectText = z.string({ error: 'must be a string' });

const order = oneOf(['first-match', 'deny-overrides', 'allow-overrides']);
const permission = oneOf(['allow', 'deny']);
const action = oneOf(['publish', 'subscribe', 'pubsub']);
const subjectType = oneOf(SUBJECT_TYPES);
const topic = z.string({ error: 'must be a topic filter' }).superRefine((value, context) => {
  const problem = topicProblem(value);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
});

const qosValue = z.union([z.literal(0), z.literal(1), z.literal(2)], { error: 'must be 0, 1 or 2' });
const qos = z.array(qosValue, { error: 'must be 0, 1 or 2, or a list of them' }).min(1, { error: 'must not be empty' });
const retain = z.boolean({ error: 'must be true or false' });

/** A rule in its normal form. */
export const RULE_SHAPE = {
  permission,
  subject: z.strictObject({ type: subjectType, value: subjectText }, object),
  action,
  topic,
  qos: qos.optional(),
  retain: retain.optional(),
};
/** `order` and `default` of rules. */
export const ACL_SHAPE = { order, default: permission };

const ruleSchema = z.strictObject(
  {
    ...RULE_SHAPE,
    subject: z.strictObject({ type: subjectType, value: subjectText.default('*') }, object),
    action: action.default('pubsub'),
    // one QoS may stand without its list
    qos: z.preprocess((value) => (qosValue.safeParse(value).success ? [value] : value), qos).optional(),
  },
  object,
);

/** FluxMQ's columns; its HTTP form spells the same in camel case and calls the action `action`. */
const fluxmqSchema = z.strictObject({
  acl_strategy: permission,
  acl_type: subjectType,
  acl_action: action,
  subject: subjectText.default('*'),
  topic,
});
const FLUXMQ_KEYS: Record<string, string> = {
  aclStrategy: 'acl_strategy',
  aclType: 'acl_type',
  aclAction: 'acl_action',
  action: 'acl_action',
};

const userListSchema = z.strictObject({
  username: z.string({ error: 'must be a string' }).min(1, { error: 'must not be empty' }),
  allow: z.array(topic, { error: 'must be a list of topic filters' }),
});

/** The rules as read, with their problems. */
interface Findings {
  readonly problems: Problems;
  readonly warnings: string[];
}

/**
 * Reads the node's `acl`: `{order, default, rules}` or a list of rules. Absent and null are `{order: first-match, default: allow, rules: []}`.
 * @param warnings gets a line for each rule that cannot decide anything, and for FluxMQ's order
 * @throws FluxError `invalid`
 */
export function parseAcl(input: unknown, warnings: string[] = []): AclConfig {
  const problems = new Problems();
  const acl = readAcl(input ?? {}, 'acl', { problems, warnings }, null);
  problems.throwIfAny('acl');
  return acl;
}

/** The value of an endpoint's `aclType` + `aclConfig`. An object is merged into `old`; null means the node's rules. */
export function readEndpointAcl(aclType: unknown, aclConfig: unknown, findings: Findings, old: AclConfig | null): AclConfig | null {
  const { problems } = findings;
  if (aclType !== undefined && aclType !== 'config') {
    if (LATER_TYPES.has(aclType as string)) problems.addNotSupportedYet('aclType');
    else problems.add('aclType', 'must be one of config, database, http, redis');
    return null;
  }
  if (aclConfig === undefined || (isObject(aclConfig) && Object.keys(aclConfig).length === 0)) {
    if (aclType === undefined) return null;
    if (old === null) problems.add('aclConfig', 'is needed with aclType config: {order, default, rules}');
    return old;
  }
  return readAcl(aclConfig, 'aclConfig', findings, old);
}

function readAcl(input: unknown, path: string, findings: Findings, old: AclConfig | null, hasOrder = false): AclConfig {
  const { problems } = findings;
  const acl: AclConfig = { order: old?.order ?? 'first-match', default: old?.default ?? 'allow', rules: old?.rules ?? [] };
  if (Array.isArray(input)) return withRules(acl, input, path, findings, hasOrder);
  if (!isObject(input)) {
    problems.add(path, 'must be an object {order, default, rules} or a list of rules');
    return acl;
  }
  const { given, nulls } = splitNulls(input);
  const isOrderGiven = hasOrder || 'order' in input;
  const { order: byOrder, default: byDefault, rules, config, ...unknown } = given;
  for (const key of Object.keys(unknown)) problems.addUnknownKey(join(path, key));
  if (nulls.includes('order')) acl.order = 'first-match';
  if (nulls.includes('default')) acl.default = 'allow';
  if (nulls.includes('rules')) acl.rules = [];
  if (byOrder !== undefined) acl.order = check(order, byOrder, join(path, 'order'), problems) ?? acl.order;
  if (byDefault !== undefined) acl.default = check(permission, byDefault, join(path, 'default'), problems) ?? acl.default;
  // FluxMQ nests the rules of the type `config` once more: aclConfig.config.rules
  if (config !== undefined && rules !== undefined) problems.add(join(path, 'config'), 'is the same as rules');
  else if (config !== undefined) return readAcl(config, join(path, 'config'), findings, acl, isOrderGiven);
  if (rules !== undefined) return withRules(acl, rules, join(path, 'rules'), findings, isOrderGiven);
  if (byOrder !== undefined) warnOfUnreached(acl, join(path, 'rules'), findings);
  return acl;
}

/** Rules in FluxMQ's form keep FluxMQ's order unless another one is given. */
function withRules(acl: AclConfig, input: unknown, path: string, findings: Findings, isOrderGiven: boolean): AclConfig {
  const rules = readRules(input, path, findings.problems);
  const isFluxmqs = !isOrderGiven && acl.order !== 'allow-overrides' && Array.isArray(input) && input.some(hasFluxmqForm);
  if (isFluxmqs)
    findings.warnings.push(`${path}: has rules in FluxMQ's form, so order is allow-overrides: a matching allow beats every deny`);
  const read = { ...acl, order: isFluxmqs ? 'allow-overrides' : acl.order, rules };
  warnOfUnreached(read, path, findings);
  return read;
}

function warnOfUnreached(acl: AclConfig, path: string, { problems, warnings }: Findings): void {
  // The positions are those of the list that was given only when each entry of it became one rule.
  if (acl.order !== 'first-match' || problems.issues.length > 0) return;
  for (const { rule, earlier } of unreachedRules(acl.rules))
    warnings.push(
      `${join(path, rule)}: decides nothing, because ${join(path, earlier)} comes first and matches everything that it matches`,
    );
}

function readRules(input: unknown, path: string, problems: Problems): AclRule[] {
  if (Array.isArray(input)) return input.flatMap((rule, index) => readRule(rule, join(path, index), problems));
  problems.add(path, 'must be a list');
  return [];
}

function readRule(input: unknown, path: string, problems: Problems): AclRule[] {
  if (!isObject(input)) {
    problems.add(path, 'must be an object');
    return [];
  }
  const { given } = splitNulls(input);
  if (isUserList(given)) return readUserList(given, path, problems);
  if (hasFluxmqColumns(given)) {
    const renamed = Object.fromEntries(
      Object.entries(given).map(([key, value]) => [Object.hasOwn(FLUXMQ_KEYS, key) ? (FLUXMQ_KEYS[key] as string) : key, value]),
    );
    const rule = check(fluxmqSchema, renamed, path, problems);
    if (rule === undefined) return [];
    const subject = readSubject(rule.acl_type, rule.subject, join(path, 'subject'), problems);
    return [{ permission: rule.acl_strategy, subject, action: rule.acl_action, topic: rule.topic }];
  }
  const rule = check(ruleSchema, given, path, problems);
  if (rule === undefined) return [];
  const { qos: byQos, retain: byRetain, ...rest } = rule;
  if (byRetain !== undefined && rule.action !== 'publish')
    problems.add(join(path, 'retain'), `is for rules with action publish: a subscription has no RETAIN flag`);
  const conditions = {
    ...(byQos === undefined ? {} : { qos: [...new Set(byQos)].sort() }),
    ...(byRetain === undefined ? {} : { retain: byRetain }),
  };
  return [{ ...rest, subject: readSubject(rule.subject.type, rule.subject.value, join(path, 'subject.value'), problems), ...conditions }];
}

function isUserList(rule: Record<string, unknown>): boolean {
  return 'username' in rule || Array.isArray(rule['allow']);
}

function hasFluxmqColumns(rule: Record<string, unknown>): boolean {
  return ['acl_strategy', 'aclStrategy', 'acl_type', 'aclType', 'acl_action', 'aclAction'].some((key) => key in rule);
}

function hasFluxmqForm(rule: unknown): boolean {
  if (!isObject(rule)) return false;
  const { given } = splitNulls(rule);
  return isUserList(given) || hasFluxmqColumns(given);
}

/**
 * FluxMQ's `{username, allow: [topics]}`: the user may use these topics and no others. Beside an allow for each topic, the user is denied
 * everything else, `$SYS` too, which `#` does not match. Nothing is denied when the list holds `#` itself.
 */
function readUserList(input: Record<string, unknown>, path: string, problems: Problems): AclRule[] {
  const list = check(userListSchema, input, path, problems);
  if (list === undefined) return [];
  const rule = (permission: AclRule['permission'], filter: string): AclRule => ({
    permission,
    subject: { type: 'user', value: list.username },
    action: 'pubsub',
    topic: filter,
  });
  const allows = list.allow.map((filter) => rule('allow', filter));
  return list.allow.includes('#') ? allows : [...allows, rule('deny', '#'), rule('deny', '$SYS/#')];
}

function readSubject(type: AclRule['subject']['type'], value: string, path: string, problems: Problems): AclRule['subject'] {
  if (type === 'all') {
    if (value !== '*' && value !== '') problems.add(path, 'has no use with type all');
    return { type, value: '*' };
  }
  // A deny for a user called "*" would silently apply to nobody.
  if (value === '*' || value === '') problems.add(path, `must name one ${type}; use type all for everyone`);
  else if (type === 'ip' && !isAddressOrNetwork(value)) problems.add(path, 'must be an IP address or a network (10.0.0.0/8)');
  return { type, value };
}

function isAddressOrNetwork(value: string): boolean {
  const [address = '', prefix, ...rest] = value.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

/** The fault of a rule's topic filter, or null. Obeys [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1], [MQTT-4.7.3-2]. */
export function topicProblem(value: string): string | null {
  const filter = readRuleTopic(value).filter.replaceAll(OWN_PLACEHOLDERS, 'x');
  if (filter === '') return 'must not be empty';
  if (Buffer.byteLength(filter) > TOPIC_BYTES_MAX) return 'is too long';
  if (filter.includes('\0')) return 'must not hold a null character';
  if (filter.includes('${')) return 'knows the placeholders clientId, username and certCommonName only';
  const levels = filter.split('/');
  if (levels[0] === '$share' || levels[0] === '$queue') return 'names the topics themselves, without $share or $queue';
  for (const [index, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || index !== levels.length - 1)) return 'may have # as its whole last level only';
    if (level.includes('+') && level !== '+') return 'may have + as a whole level only';
  }
  return null;
}
