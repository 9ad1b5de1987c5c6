/** Schemas of an endpoint in requests and answers, from the table of its keys. */

import { z } from 'zod';
import { ACCESS_ANSWERS, ACCESS_REQUESTS } from '../access/forms.ts';
import { type EntryTable, isGroup, type Key, type KeyGroup, type KeyTable, type ValuesOf } from './key.ts';
import { schemaOf } from './schema-of.ts';
import { ENDPOINT_KEYS, type LATER_KEYS, WRITTEN_FORM, type WRITTEN_KEYS } from './table.ts';

/** Each key with the schema of its value. */
type ShapeOf<T> = { [K in keyof T]: z.ZodType<T[K]> };

type AnswerShape = Omit<ShapeOf<ValuesOf<typeof ENDPOINT_KEYS & typeof WRITTEN_KEYS>>, 'sslConfig' | 'authConfig' | 'aclConfig'> & {
  sslConfig: z.ZodType<Partial<ValuesOf<typeof ENDPOINT_KEYS.sslConfig.keys>>>;
  authConfig: z.ZodType<z.infer<typeof ACCESS_ANSWERS.authConfig> | null>;
  aclConfig: z.ZodType<z.infer<typeof ACCESS_ANSWERS.aclConfig> | null>;
};

/** The description of a key: its meaning, its default, and the effect of a change. */
function sentencesOf(entry: Key<unknown> | KeyGroup): string {
  const change = `Change: ${entry.effectText ?? entry.effect}`;
  if (isGroup(entry)) return `${entry.description}. ${change}`;
  const { description, default: value, defaultText } = entry;
  const shown = defaultText ?? (value === null ? '' : Array.isArray(value) || value === '' ? JSON.stringify(value) : String(value));
  return `${description}. ${shown === '' ? '' : `Default: ${shown}. `}${change}`;
}

const later = z.object({
  enableBridge: z.literal(false).meta({ description: 'Not supported yet' }),
  bridgeConfig: z.object({}).meta({ description: 'Not supported yet' }),
  proxy: z.literal(false).meta({ description: 'Not supported yet' }),
} satisfies Record<keyof typeof LATER_KEYS, z.ZodType>);

/** In an answer each key is present, but TLS shows only what is configured. */
function answerOf(name: string, entry: Key<unknown> | KeyGroup): z.ZodType {
  const description = sentencesOf(entry);
  if (isGroup(entry)) {
    const options = z.object(each(entry.keys, answerOf));
    return (name === 'sslConfig' ? options.partial() : options).meta({ description });
  }
  const schema = (ACCESS_ANSWERS as Record<string, z.ZodType>)[name] ?? schemaOf<unknown>(entry.value);
  return (entry.default === null ? schema.nullable() : schema).meta({ description });
}

/** In a request each key may be absent, or null for its default. */
function requestOf(name: string, entry: Key<unknown> | KeyGroup): z.ZodType {
  const schema = isGroup(entry)
    ? z.object(each(entry.keys, requestOf))
    : ((ACCESS_REQUESTS as Record<string, z.ZodType>)[name] ?? schemaOf<unknown>(entry.value));
  return schema
    .nullable()
    .optional()
    .meta({ description: sentencesOf(entry) });
}

function each(table: EntryTable | KeyTable, schemaFor: (name: string, entry: Key<unknown> | KeyGroup) => z.ZodType) {
  return Object.fromEntries(Object.entries(table).map(([name, entry]) => [name, schemaFor(name, entry)]));
}

/** An endpoint in an answer: every key. */
export const endpointSchema = z
  .object({ ...(each(WRITTEN_FORM, answerOf) as unknown as AnswerShape), ...later.shape })
  .meta({ id: 'Endpoint' });

/** An endpoint in an answer; its secrets are masked. */
export type PublicEndpoint = z.infer<typeof endpointSchema>;

/** Keys of an endpoint in a request that changes one. The control plane does the real check. */
export const endpointPatchSchema = z.object({ ...each(WRITTEN_FORM, requestOf), ...later.partial().shape }).meta({ id: 'EndpointPatch' });

/** A new endpoint: only `port` is required. */
export const newEndpointSchema = z
  .intersection(endpointPatchSchema, z.object({ port: schemaOf(ENDPOINT_KEYS.port.value) }))
  .meta({ id: 'NewEndpoint' });
