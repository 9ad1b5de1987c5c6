/** Reads `dynamic-security.json` of mosquitto's plugin: clients with their groups and roles become users with groups and rules. */

import { topicProblem } from '../../endpoint/access/acl-schema.ts';
import { isObject } from '../../endpoint/problems.ts';
import { readHash } from '../../kernel/logins/hash-forms.ts';
import { denyRest, type ImportedRule, type ImportedUser, type UserFile } from './contract.ts';

type Json = Record<string, unknown>;

/** A role or group that something has, with its priority. */
interface Membership {
  name: string;
  priority: number;
}

const PLACEHOLDERS = (topic: string) => topic.replaceAll('%c', '${clientId}').replaceAll('%u', '${username}');

/** @param document the parsed file */
export function readDynamicSecurity(document: Json): UserFile {
  const file: UserFile = { users: [], problems: [], notes: [] };
  const roles = new Map(listOf(document, 'roles').map((role) => [text(role, 'rolename'), rulesOf(role, file)]));
  const groups = listOf(document, 'groups');
  const rest = defaultsOf(document);
  if (text(document, 'anonymousGroup') !== '')
    file.notes.push('anonymousGroup: give its rules to the endpoint (aclConfig), with enableAuth: false');
  for (const [at, client] of listOf(document, 'clients').entries()) {
    const user = userOf(client, `clients[${at}]`, file);
    if (user === null) continue;
    const own = groups.filter((group) => listOf(group, 'clients').some((each) => text(each, 'username') === user.username));
    const byPriority = own.toSorted((a, b) => priorityIn(b, client) - priorityIn(a, client));
    const memberships = [...membershipsOf(client), ...byPriority.flatMap(membershipsOf)];
    user.acl = [...memberships.flatMap(({ name }) => roles.get(name) ?? []), ...rest];
    if (own.length > 0) user.groups = own.map((group) => text(group, 'groupname'));
    file.users.push(user);
  }
  file.notes.push(...new Set(file.notes.splice(0)));
  return file;
}

function userOf(client: Json, place: string, file: UserFile): ImportedUser | null {
  const username = text(client, 'username');
  if (username === '') {
    file.problems.push(`${place}: has no username`);
    return null;
  }
  if (text(client, 'clientid') !== '')
    file.notes.push(`${username}: is limited to the client identifier ${text(client, 'clientid')}; fluxmq does not limit it`);
  const hash = hashOf(client);
  if (hash === null) {
    file.notes.push(`${username}: has no password, so it is left out`);
    return null;
  }
  const problem = readHash(hash);
  if (typeof problem === 'string') {
    file.problems.push(`${place}: the hash of ${username} ${problem}`);
    return null;
  }
  const comment = text(client, 'textName') || text(client, 'textDescription');
  return { username, hash, ...(client['disabled'] === true ? { disabled: true } : {}), ...(comment === '' ? {} : { comment }) };
}

function hashOf(client: Json): string | null {
  const [encoded, password, salt, iterations] = ['encoded_password', 'password', 'salt', 'iterations'].map((key) => client[key]);
  if (typeof encoded === 'string') return encoded;
  return typeof password === 'string' ? `$7$${String(iterations)}$${String(salt)}$${password}` : null;
}

/** The rules of a role, the one of the highest priority first. */
function rulesOf(role: Json, file: UserFile): ImportedRule[] {
  const acls = listOf(role, 'acls').toSorted((a, b) => number(b, 'priority') - number(a, 'priority'));
  return acls.flatMap((acl) => ruleOf(acl, text(role, 'rolename'), file));
}

function ruleOf(acl: Json, role: string, file: UserFile): ImportedRule[] {
  const kind = text(acl, 'acltype');
  const permission = acl['allow'] === true ? 'allow' : 'deny';
  const topic = PLACEHOLDERS(text(acl, 'topic'));
  const rule = (action: ImportedRule['action'], filter: string): ImportedRule[] => {
    const problem = topicProblem(filter);
    if (problem !== null) file.problems.push(`role ${role}: a topic ${problem}`);
    return [{ permission, action, topic: filter }];
  };
  switch (kind) {
    case 'publishClientSend':
      return rule('publish', topic);
    case 'subscribePattern':
      return rule('subscribe', topic);
    case 'subscribeLiteral':
      return rule('subscribe', `eq:${topic}`);
    case 'publishClientReceive':
      if (permission === 'allow') return [];
      file.notes.push(`role ${role}: a client may not receive ${topic}; in fluxmq it may not subscribe to it`);
      return rule('subscribe', topic);
    case 'unsubscribePattern':
    case 'unsubscribeLiteral':
      file.notes.push('rules about UNSUBSCRIBE are left out: fluxmq never refuses it');
      return [];
    default:
      file.problems.push(`role ${role}: unknown acltype ${kind}`);
      return [];
  }
}

/** What holds where no role decides. */
function defaultsOf(document: Json): ImportedRule[] {
  const defaults = isObject(document['defaultACLAccess']) ? document['defaultACLAccess'] : {};
  return [
    ...(defaults['publishClientSend'] === true ? [] : denyRest('publish')),
    ...(defaults['subscribe'] === true ? [] : denyRest('subscribe')),
  ];
}

function membershipsOf(holder: Json): Membership[] {
  const roles = listOf(holder, 'roles').map((role) => ({ name: text(role, 'rolename'), priority: number(role, 'priority') }));
  return roles.toSorted((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1));
}

/** The priority of a group for a client, which either of the two may name. */
function priorityIn(group: Json, client: Json): number {
  const [name, username] = [text(group, 'groupname'), text(client, 'username')];
  const named = listOf(client, 'groups').find((each) => text(each, 'groupname') === name);
  return number(named ?? listOf(group, 'clients').find((each) => text(each, 'username') === username) ?? {}, 'priority');
}

function listOf(value: Json, key: string): Json[] {
  const list = value[key];
  return Array.isArray(list) ? list.filter(isObject) : [];
}

function text(value: Json, key: string): string {
  const found = value[key];
  return typeof found === 'string' ? found : '';
}

function number(value: Json, key: string): number {
  const found = value[key];
  return typeof found === 'number' ? found : 0;
}
