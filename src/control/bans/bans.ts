/** Changes bans in the store, and reports them (docs/bans.md). */

import type { BanChangeAnswer, BansAnswer, BanView } from '../../answers/bans.ts';
import {
  BAN_KIND,
  BAN_PATTERNS_MAX,
  BANS_AT_ONCE_MAX,
  BANS_MAX,
  type Ban,
  banKey,
  fromBanBody,
  isBanPattern,
  readBan,
  readBanId,
  toBanBody,
} from '../../endpoint/bans/ban.ts';
import { isObject, Problems } from '../../endpoint/problems.ts';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { CopiedDocument, DocumentCopy } from '../../storage/local/document-copy.ts';
import type { BanRequests, BansQuery } from '../contract/access/ban-requests.ts';
import type { RequestContext } from '../contract/request-parts.ts';
import type { DocumentChanges } from '../documents/document-changes.ts';
import { readPlace, writePlace } from '../documents/words.ts';
import type { BanKeeper } from './ban-keeper.ts';

export interface BansOptions {
  copy: DocumentCopy;
  keeper: BanKeeper;
  documents: DocumentChanges;
}

const PROBLEMS_MAX = 20;

export class Bans implements BanRequests {
  readonly #options: BansOptions;

  constructor(options: BansOptions) {
    this.#options = options;
  }

  list({ search = '', by, namespace, after, limit }: BansQuery): BansAnswer {
    const { copy, keeper } = this.#options;
    const now = wallNow();
    const bans: BanView[] = [];
    let place = after === undefined ? null : readPlace(after);
    let isOver = false;
    while (bans.length < limit && !isOver) {
      const page: CopiedDocument[] = copy.list(BAN_KIND, search, place, limit);
      for (const document of page) {
        place = document;
        const ban = fromBanBody(document.key, document.body);
        const isMeant = (by === undefined || by === ban.by) && (namespace === undefined || namespace === ban.namespace);
        if (isMeant && (ban.until === null || ban.until > now)) bans.push(toView(ban));
        if (bans.length === limit) break;
      }
      isOver = page.length < limit && bans.length < limit;
    }
    const next = isOver || place === null ? null : writePlace(place);
    return { bans, total: keeper.total, next, revision: copy.place.revision };
  }

  async add(body: unknown, context: RequestContext): Promise<BanChangeAnswer> {
    const given = readBans(body, context.actor);
    this.#checkRoom(given);
    const changes = [...given].map(([key, ban]) => ({ kind: BAN_KIND, key, body: toBanBody(ban) }));
    const done = await this.#options.documents.commit(changes, 'add', context);
    return { bans: [...given.values()].map(toView), ...done };
  }

  async remove(body: unknown, context: RequestContext): Promise<BanChangeAnswer> {
    const problems = new Problems();
    const { reason, ...named } = isObject(body) ? body : {};
    const id = readBanId(named, '', problems);
    problems.throwIfAny('ban');
    if (id === null) throw new Error('a ban without problems must be readable');
    const none = new FluxError('not-found', `There is no ban of ${id.by} ${id.value}`);
    if (!this.#options.keeper.has(banKey(id))) throw none;
    try {
      const done = await this.#options.documents.commit([{ kind: BAN_KIND, key: banKey(id), body: null }], 'remove', context);
      return { bans: [], ...done };
    } catch (error) {
      // Another node was first.
      throw error instanceof FluxError && error.kind === 'not-found' ? none : error;
    }
  }

  #checkRoom(given: ReadonlyMap<string, Ban>): void {
    const { keeper } = this.#options;
    const added = [...given].filter(([key]) => !keeper.has(key));
    const total = keeper.total + added.length;
    if (total > BANS_MAX) throw new FluxError('too-large', `There would be ${total} bans; a cluster keeps at most ${BANS_MAX}`);
    const addedPatterns = added.filter(([, { by }]) => isBanPattern(by)).length;
    const patterns = addedPatterns === 0 ? 0 : keeper.patterns + addedPatterns;
    if (patterns > BAN_PATTERNS_MAX)
      throw new FluxError('too-large', `There would be ${patterns} bans with a pattern; a cluster keeps at most ${BAN_PATTERNS_MAX}`);
  }
}

/** One ban, or a list of them, by key. @throws FluxError `invalid` */
function readBans(body: unknown, author: string): Map<string, Ban> {
  const problems = new Problems();
  const now = wallNow();
  const list = isObject(body) ? body['bans'] : undefined;
  if (list !== undefined && !Array.isArray(list)) problems.add('bans', 'must be a list');
  const isList = Array.isArray(list);
  if (isList && (list.length === 0 || list.length > BANS_AT_ONCE_MAX)) problems.add('bans', `must have 1..${BANS_AT_ONCE_MAX} bans`);
  if (isList && isObject(body)) for (const key of Object.keys(body)) if (key !== 'bans' && key !== 'reason') problems.addUnknownKey(key);
  const given = new Map<string, Ban>();
  for (const [index, entry] of (isList ? list.slice(0, BANS_AT_ONCE_MAX) : list === undefined ? [body] : []).entries()) {
    const path = isList ? `bans.${index}` : '';
    const ban = readBan(entry, path, problems, author, now);
    if (problems.issues.length >= PROBLEMS_MAX) break;
    if (ban === null) continue;
    if (given.has(banKey(ban))) problems.add(path, `names ${ban.value} for the second time`);
    given.set(banKey(ban), ban);
  }
  problems.throwIfAny('ban');
  return given;
}

function toView({ by, value, namespace, until, reason, author, at }: Ban): BanView {
  return {
    [by]: value,
    namespace,
    until: until === null ? null : new Date(until).toISOString(),
    reason,
    author,
    at: new Date(at).toISOString(),
  };
}
