/** Questions between nodes, and the form of their answers. */

import { isObject } from '../../endpoint/problems.ts';
import { FluxError } from '../../kernel/errors.ts';

export const QUESTIONS = [
  'check-port',
  'status',
  'probe',
  'prepare',
  'documents',
  'clients',
  'clients-describe',
  'clients-find',
  'clients-close',
] as const;
export type NodeQuestion = (typeof QUESTIONS)[number];

/** Another node, for a question. */
export interface AskedNode {
  name: string;
  /** the name in answers, which tells twins apart */
  label: string;
  version: string;
  /** null: the node is down */
  incarnation: string | null;
  /** the node was stopped in order, and has no clients */
  hasLeft: boolean;
}

/** One node's answer to a question for all nodes. */
export interface NodeAnswer {
  node: string;
  /** null without an answer */
  answer: unknown;
  /** reason of a missing answer */
  reason: string | null;
}

/** Reads the answer of another node. @throws FluxError that the other node threw, or `internal` for anything that is not an answer */
export function readAnswer(body: unknown): unknown {
  if (isObject(body) && body['ok'] === true) return body['answer'] ?? null;
  const error = isObject(body) ? body['error'] : null;
  const message = isObject(error) && typeof error['message'] === 'string' ? error['message'] : 'the answer of the node is not understood';
  throw new FluxError('internal', message);
}
