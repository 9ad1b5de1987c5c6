/** Reads the topic of a rule, which may begin with `eq:` (docs/access.md). */

const LITERAL = 'eq:';

export interface RuleTopic {
  readonly filter: string;
  /** the filter is compared to the letter, and not matched */
  readonly isLiteral: boolean;
}

export function readRuleTopic(topic: string): RuleTopic {
  const isLiteral = topic.startsWith(LITERAL);
  return { filter: isLiteral ? topic.slice(LITERAL.length) : topic, isLiteral };
}

/** The values of a client that a topic may name. */
export const OWN_PLACEHOLDERS = /\$\{(clientId|username|certCommonName)\}/g;
