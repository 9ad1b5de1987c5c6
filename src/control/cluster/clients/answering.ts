/** Answers the questions of other nodes about the clients of this node. */

import type { ClientQuestion } from '../../../bus/subjects.ts';
import type { Clients } from '../../clients/clients.ts';
import {
  type CloseAnswer,
  type DescribeAnswer,
  type FindAnswer,
  type NamesAnswer,
  pieceOf,
  readIdsQuestion,
  readNames,
  readNamesQuestion,
  readUserQuestion,
} from './forms.ts';

export type OwnClients = Pick<Clients, 'connected' | 'names' | 'describe' | 'find' | 'disconnect' | 'disconnectUser'>;

/** True for the questions of this file. */
export function isAboutClients(question: string): question is ClientQuestion {
  return question.startsWith('clients');
}

/** @throws FluxError `invalid` for a question that is not understood, and the failures of the threads */
export function answerAboutClients(own: OwnClients, question: ClientQuestion, body: unknown): Promise<unknown> {
  switch (question) {
    case 'clients':
      return listed(own, body);
    case 'clients-describe':
      return described(own, body);
    case 'clients-find':
      return found(own, body);
    case 'clients-close':
      return closed(own, body);
  }
}

async function listed(own: OwnClients, body: unknown): Promise<NamesAnswer> {
  const { endpoint, skip, after, count } = readNamesQuestion(body);
  const page = await own.names({ endpoint: endpoint ?? undefined, skip, after, count });
  const names = pieceOf(page.names, 0);
  return { total: page.total, names, hasMore: names.length > 0 && (names.length < page.names.length || names.length === count) };
}

async function described(own: OwnClients, body: unknown): Promise<DescribeAnswer> {
  const names = readNames(body);
  const clients = await own.describe(names);
  const fitting = pieceOf(clients, 0);
  const last = fitting.at(-1);
  if (last === undefined || fitting.length === clients.length) return { clients, done: Math.max(1, names.length) };
  const done = names.findIndex(({ clientId, namespace }) => clientId === last.clientId && namespace === last.namespace) + 1;
  return { clients: fitting, done };
}

async function found(own: OwnClients, body: unknown): Promise<FindAnswer> {
  const { ids, namespace } = readIdsQuestion(body);
  const places = new Map(ids.map((id, at) => [id, at]));
  const all = await own.find(ids, namespace ?? undefined);
  all.sort((a, b) => places.get(a.clientId)! - places.get(b.clientId)!);
  const fitting = pieceOf(all, 0);
  const next = all[fitting.length];
  if (next === undefined) return { found: all, done: Math.max(1, ids.length) };
  // An identifier in several namespaces is answered whole, or in the next piece.
  const at = Math.max(1, places.get(next.clientId)!);
  const before = new Set(ids.slice(0, at));
  return { found: all.filter(({ clientId }) => before.has(clientId)), done: at };
}

async function closed(own: OwnClients, body: unknown): Promise<CloseAnswer> {
  const user = readUserQuestion(body);
  if (user !== null) return { closed: await own.disconnectUser(user.username, user.namespace) };
  const { ids, namespace } = readIdsQuestion(body);
  return { closed: await own.disconnect(ids, namespace ?? undefined) };
}
