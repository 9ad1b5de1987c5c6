/** Reads mosquitto's `acl_file`: the rules of its users, and the patterns that hold for all of them. */

import { topicProblem } from '../../endpoint/access/acl-schema.ts';
import { denyRest, type ImportedRule, type ImportedUser, linesOf } from './contract.ts';

export interface AclFile {
  /** rules by user name, in the order in which mosquitto judges */
  rulesOf(username: string): ImportedRule[];
  /** the users that have a section */
  users: ReadonlySet<string>;
  problems: string[];
  notes: string[];
}

const ACTIONS = { read: 'subscribe', write: 'publish', readwrite: 'all', deny: 'all' } as const;
const LINE = /^(topic|pattern)\s+(?:(read|write|readwrite|deny)\s+)?(.+)$/;

export function readMosquittoAcl(text: string): AclFile {
  const sections = new Map<string, ImportedRule[]>();
  const patterns: ImportedRule[] = [];
  const problems: string[] = [];
  let anonymous = 0;
  let user: string | null = null;
  for (const [number, raw] of linesOf(text)) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const named = /^user\s+(.+)$/.exec(line)?.[1];
    if (named !== undefined) {
      user = named;
      if (!sections.has(user)) sections.set(user, []);
      continue;
    }
    const [, kind, word = 'readwrite', written = ''] = LINE.exec(line) ?? [];
    const topic = kind === 'pattern' ? written.replaceAll('%c', '${clientId}').replaceAll('%u', '${username}') : written;
    const problem = kind === undefined ? 'expected user, topic or pattern' : topicProblem(topic);
    if (problem !== null) {
      problems.push(`line ${number}: ${kind === undefined ? problem : `the topic ${problem}`}`);
      continue;
    }
    const action = ACTIONS[word as keyof typeof ACTIONS];
    const rule: ImportedRule = { permission: word === 'deny' ? 'deny' : 'allow', action, topic };
    if (kind === 'pattern') patterns.push(rule);
    else if (user === null) anonymous++;
    else sections.get(user)!.push(rule);
  }
  const notes =
    anonymous === 0
      ? []
      : [`${anonymous} rules before the first user are for clients without a login: give them to the endpoint (aclConfig)`];
  // mosquitto judges the denials of a list before the others.
  const ordered = (rules: readonly ImportedRule[]) =>
    rules.toSorted((a, b) => Number(a.permission === 'allow') - Number(b.permission === 'allow'));
  const shared = [...ordered(patterns), ...denyRest('all')];
  return { rulesOf: (username) => [...ordered(sections.get(username) ?? []), ...shared], users: new Set(sections.keys()), problems, notes };
}

/** Gives the users the rules of an ACL file. @returns the names in that file that are not among the users */
export function giveRules(users: ImportedUser[], acl: AclFile): string[] {
  for (const user of users) user.acl = acl.rulesOf(user.username ?? '');
  const known = new Set(users.map(({ username }) => username));
  return [...acl.users].filter((name) => !known.has(name));
}
