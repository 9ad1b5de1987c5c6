/**
 * The questions between nodes about clients, and their answers, as JSON. NATS carries a message of bounded size, so every list goes in pieces:
 * the asking node cuts its list, and the answering node cuts its answer and names the place where it stopped.
 */

import { isObject } from '../../../endpoint/problems.ts';
import { FluxError } from '../../../kernel/errors.ts';
import type { ClientName } from '../../clients/client-page.ts';
import type { FoundClient } from '../../clients/clients.ts';
import type { ClientInfo } from '../../contract/answers.ts';

/** Bytes of one question or answer, but for a single entry that is larger. An identifier has at most 64 KiB, as JSON six times as much. */
export const PIECE_BYTES = 128 * 1024;
/** Most entries of one list. */
export const PIECE_ENTRIES = 5_000;

/** `clients`: names in order, behind `skip` of them or behind `after`. */
export interface NamesQuestion {
  endpoint: string | null;
  skip: number;
  after: ClientName | null;
  count: number;
}

export interface NamesAnswer {
  /** connected clients of the node */
  total: number;
  names: ClientName[];
  /** more names follow the last one */
  hasMore: boolean;
}

/** `clients-describe` is asked for a list of names. */
export interface DescribeAnswer {
  clients: ClientInfo[];
  /** number of names that the answer covers, from the first; the others must be asked again */
  done: number;
}

/** `clients-find` and `clients-close`. */
export interface IdsQuestion {
  ids: string[];
  namespace: string | null;
}

export interface UserQuestion {
  username: string;
  namespace: string;
}

export interface FindAnswer {
  found: FoundClient[];
  /** number of identifiers that the answer covers, from the first */
  done: number;
}

export interface CloseAnswer {
  closed: number;
}

const sizeOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value)) + 1;

/** As many entries from `from` on as one message holds, at least one. */
export function pieceOf<T>(list: readonly T[], from: number): T[] {
  let bytes = 0;
  let to = from;
  while (to < list.length && to - from < PIECE_ENTRIES) {
    bytes += sizeOf(list[to]);
    if (bytes > PIECE_BYTES && to > from) break;
    to++;
  }
  return list.slice(from, to);
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** @throws FluxError `invalid`: any client of NATS may have sent it */
function refuse(): never {
  throw new FluxError('invalid', 'the question is not understood');
}

function readName(value: unknown): ClientName {
  const { clientId, namespace } = isObject(value) ? value : {};
  return isText(clientId) && isText(namespace) ? { clientId, namespace } : refuse();
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) && value.length <= PIECE_ENTRIES ? value : refuse();
}

/** @throws FluxError `invalid` */
export function readNamesQuestion(body: unknown): NamesQuestion {
  const { endpoint = null, skip, after = null, count } = isObject(body) ? body : {};
  if (!(endpoint === null || isText(endpoint)) || !isCount(skip) || !isCount(count) || count === 0) refuse();
  return { endpoint, skip, after: after === null ? null : readName(after), count: Math.min(count, PIECE_ENTRIES) };
}

/** @throws FluxError `invalid` */
export function readNames(body: unknown): ClientName[] {
  return listOf(isObject(body) ? body['names'] : null).map(readName);
}

/** @throws FluxError `invalid` */
export function readIdsQuestion(body: unknown): IdsQuestion {
  const { ids, namespace = null } = isObject(body) ? body : {};
  const list = listOf(ids);
  return list.every(isText) && (namespace === null || isText(namespace)) ? { ids: list, namespace } : refuse();
}

/** `clients-close` of a user's clients; null: the question names identifiers. Nodes that know only identifiers refuse it. @throws FluxError `invalid` */
export function readUserQuestion(body: unknown): UserQuestion | null {
  const { username, namespace } = isObject(body) ? body : {};
  if (username === undefined) return null;
  return isText(username) && isText(namespace) ? { username, namespace } : refuse();
}

/** @throws FluxError `internal` for anything that another node does not answer */
export function readNamesAnswer(answer: unknown): NamesAnswer {
  const { total, names, hasMore } = isObject(answer) ? answer : {};
  if (!isCount(total) || typeof hasMore !== 'boolean') misunderstood();
  return { total, names: readNames({ names }), hasMore };
}

/** @throws FluxError `internal` */
export function readDescribeAnswer(answer: unknown): DescribeAnswer {
  const { clients, done } = isObject(answer) ? answer : {};
  return isCount(done) && done > 0 && Array.isArray(clients) ? { clients: clients as ClientInfo[], done } : misunderstood();
}

/** @throws FluxError `internal` */
export function readFindAnswer(answer: unknown): FindAnswer {
  const { found, done } = isObject(answer) ? answer : {};
  return isCount(done) && done > 0 && Array.isArray(found) ? { found: found as FoundClient[], done } : misunderstood();
}

/** @throws FluxError `internal` */
export function readCloseAnswer(answer: unknown): CloseAnswer {
  const { closed } = isObject(answer) ? answer : {};
  return isCount(closed) ? { closed } : misunderstood();
}

function misunderstood(): never {
  throw new FluxError('internal', 'the answer of the node is not understood');
}
