/** Schemas of an endpoint in requests and answers, from the table of its keys, for the OpenAPI description. */

import { z } from '@hono/zod-openapi';
import { ACCESS_ANSWERS, ACCESS_REQUESTS } from '../../endpoint/access/forms.ts';
import { type EntryTable, isGroup, type Key, type KeyGroup } from '../../endpoint/keys/key.ts';
import { schemaOf } from '../../endpoint/keys/schema-of.ts';
import { ENDPOINT_KEYS, LATER_KEYS, WRITTEN_FORM } from '../../endpoint/keys/table.ts';

/** Forms of the structures, and whether the schema is that of a request. */
interface Form {
  readonly structures: Readonly<Record<string, z.ZodType>>;
  readonly isRequest: boolean;
}

const ANSWER: Form = { structures: ACCESS_ANSWERS, isRequest: false };
const REQUEST: Form = { structures: ACCESS_REQUESTS, isRequest: true };

/** What the description says about a key: its meaning, its default, and the effect of a change. */
function sentencesOf(entry: Key<unknown> | KeyGroup): string {
  const change = `Change: ${entry.effectText ?? entry.effect}`;
  if (isGroup(entry)) return `${entry.description}. ${change}`;
  const { description, default: value, defaultText } = entry;
  const shown = defaultText ?? (value === null ? '' : Array.isArray(value) || value === '' ? JSON.stringify(value) : String(value));
  return `${description}. ${shown === '' ? '' : `Default: ${shown}. `}${change}`;
}

function shapeOf(table: EntryTable, form: Form): Record<string, z.ZodType> {
  return Object.fromEntries(Object.entries(table).map(([name, entry]) => [name, propertyOf(name, entry, form)]));
}

/** In a request each key may be absent, or null for its default. In an answer, TLS shows only what is configured. */
function propertyOf(name: string, entry: Key<unknown> | KeyGroup, form: Form): z.ZodType {
  const description = sentencesOf(entry);
  if (isGroup(entry)) {
    const options = z.object(shapeOf(entry.keys, form));
    if (form.isRequest) return options.nullable().optional().meta({ description });
    return (name === 'sslConfig' ? options.partial() : options).meta({ description });
  }
  const schema = form.structures[name] ?? schemaOf<unknown>(entry.value);
  if (form.isRequest) return schema.nullable().optional().meta({ description });
  return (entry.default === null ? schema.nullable() : schema).meta({ description });
}

const LATER_SHAPE = Object.fromEntries(
  Object.entries(LATER_KEYS).map(([name, { kind }]) => [
    name,
    (kind === 'boolean' ? z.literal(false) : z.object({})).meta({ description: 'Not supported yet' }),
  ]),
);

/** An endpoint in an answer: every key. */
export const endpointSchema = z.object({ ...shapeOf(WRITTEN_FORM, ANSWER), ...LATER_SHAPE }).openapi('Endpoint');

/** Keys of an endpoint in a request that changes one. The control plane does the real check. */
export const endpointPatchSchema = z
  .object({ ...shapeOf(WRITTEN_FORM, REQUEST), ...z.object(LATER_SHAPE).partial().shape })
  .openapi('EndpointPatch');

/** A new endpoint: only `port` is required. */
export const newEndpointSchema = endpointPatchSchema
  .extend({ port: schemaOf(ENDPOINT_KEYS.port.value).meta({ description: sentencesOf(ENDPOINT_KEYS.port) }) })
  .openapi('NewEndpoint');
