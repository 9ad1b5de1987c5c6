/** The claims of a verified token about its client. */

import { readOwnGroups, rightsOrNone } from '../../../../src/endpoint/access/own-groups.ts';
import { readOwnRules } from '../../../../src/endpoint/access/own-rules.ts';
import { fillTemplate, parseTemplate } from '../../../../src/endpoint/access/placeholders.ts';
import type { JwtAuthConfig, OwnRights } from '../../../../src/endpoint/endpoint.ts';
import { wallNow } from '../../../../src/kernel/clock.ts';
import type { Allowed, AskWho, LoginVerdict } from '../../../../src/thread/access/ask.ts';

const DENY: LoginVerdict = { result: 'deny' };

/** A claim that is wrong, or that says something unreadable, denies. */
export function readClaims(config: JwtAuthConfig, payload: Readonly<Record<string, unknown>>, who: AskWho): LoginVerdict {
  for (const [name, wanted] of Object.entries(config.claims)) if (!isMet(payload[name], wanted, who)) return DENY;
  const allowed: Allowed = { result: 'allow' };
  if (config.usernameClaim !== null || config.from === 'username') {
    const name = payload[config.usernameClaim ?? 'sub'];
    if (typeof name === 'string' && name !== '') allowed.username = name;
    else if (config.usernameClaim !== null) return DENY;
    // The token itself must not become the name.
    else allowed.username = null;
  }
  const rights = readRights(payload);
  if (rights === 'unreadable') return DENY;
  if (rights !== null) allowed.rights = rights;
  const { exp } = payload;
  if (typeof exp !== 'number') return allowed;
  const endsAt = (exp + config.clockTolerance) * 1000;
  // jose compares whole seconds.
  if (endsAt <= wallNow()) return DENY;
  return { ...allowed, keepUntil: endsAt, ...(config.disconnectAfterExpire ? { expireAt: endsAt } : {}) };
}

/** A claim that is a list has to contain the value. A fact that the client lacks meets nothing. */
function isMet(claim: unknown, wanted: string, who: AskWho): boolean {
  let isComplete = true;
  const text = fillTemplate(parseTemplate(wanted), (name) => {
    const fact = name === 'password' ? null : who[name];
    if (fact === null) isComplete = false;
    return fact ?? '';
  });
  if (!isComplete) return false;
  const given = Array.isArray(claim) ? claim : [claim];
  return given.some((each: unknown) => ['string', 'number', 'boolean'].includes(typeof each) && String(each) === text);
}

/** Null: the token gives none. */
function readRights(payload: Readonly<Record<string, unknown>>): OwnRights | null | 'unreadable' {
  const flags = [payload['isSuperuser'], payload['is_superuser']].filter((flag) => flag !== undefined && flag !== null);
  if (!flags.every((flag) => typeof flag === 'boolean')) return 'unreadable';
  const { acl } = payload;
  try {
    const rules = acl === undefined || acl === null ? [] : readOwnRules(acl);
    return rightsOrNone(flags.length > 0 && flags.every(Boolean), rules, readOwnGroups(payload['groups']));
  } catch {
    return 'unreadable';
  }
}
