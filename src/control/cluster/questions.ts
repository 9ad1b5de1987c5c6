/** Questions that nodes put to each other, and the form of the answers. */

import { isObject } from '../../endpoint/problems.ts';
import { FluxError } from '../../kernel/errors.ts';

export const QUESTIONS = ['check-port', 'status', 'probe', 'prepare'] as const;
export type Question = (typeof QUESTIONS)[number];

/** What one node answered to a question that all were asked. */
export interface NodeAnswer {
  node: string;
  /** null: it did not answer */
  answer: unknown;
  /** why it did not */
  reason: string | null;
}

/** The answer inside what came over the bus. @throws FluxError what the other node threw, or `internal` when it is no answer */
export function readAnswer(body: unknown): unknown {
  if (isObject(body) && body['ok'] === true) return body['answer'] ?? null;
  const error = isObject(body) ? body['error'] : null;
  const message = isObject(error) && typeof error['message'] === 'string' ? error['message'] : 'the node gave no answer that is understood';
  throw new FluxError('internal', message);
}
