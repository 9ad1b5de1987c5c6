/** The zod schema of a key's value: the rules of its table entry, with their phrasings as errors. */

import { z } from 'zod';
import { ruleOf, type Shape, type TextRule, type Value } from './value.ts';

/** @returns a new schema. A structure accepts everything, because a reader of its own checks it. */
export function schemaOf<T>(value: Value<T>): z.ZodType<T> {
  return build(value) as z.ZodType<unknown> as z.ZodType<T>;
}

function build(shape: Shape): z.ZodType {
  const error = ruleOf(shape);
  switch (shape.kind) {
    case 'boolean':
      return z.boolean({ error });
    case 'integer': {
      const number = z.int({ error }).min(shape.min, { error }).max(shape.max, { error });
      return shape.word === undefined ? number : z.union([number, z.literal(shape.word)], { error });
    }
    case 'choice':
      return z.enum(shape.words, { error });
    case 'text':
      return shape.rules.reduce(withRule, z.string({ error }));
    case 'list':
      return z.array(shape.words === null ? z.string() : z.enum(shape.words), { error });
    case 'structure':
      return z.unknown();
  }
}

function withRule(schema: z.ZodString, rule: TextRule): z.ZodString {
  const error = rule.rule;
  if ('min' in rule) return schema.min(rule.min, { error });
  if ('max' in rule) return schema.max(rule.max, { error });
  return 'pattern' in rule ? schema.regex(rule.pattern, { error }) : schema.refine(rule.test, { error });
}
