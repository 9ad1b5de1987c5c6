/** Answers to changes of endpoints, and to plans of changes. */

import { z } from 'zod';
import { endpointSchema } from '../endpoint/keys/form-schemas.ts';
import { issueSchema } from './envelope.ts';

export const effectSchema = z
  .enum(['none', 'live', 'admission', 'handshake', 'rebind', 'fixed'])
  .meta({ id: 'Effect', description: 'How a change takes effect, from the mildest to the hardest' });

export const nodeOutcomeSchema = z
  .object({ node: z.string(), state: z.enum(['applied', 'pending', 'failed']), reason: z.string().nullable() })
  .meta({ id: 'NodeOutcome', description: 'Result of a change on one node' });

export const confirmSchema = z
  .object({ revision: z.int(), until: z.string().meta({ description: 'ISO 8601', example: '2026-01-31T12:00:30.000Z' }) })
  .meta({ id: 'Confirm', description: 'The change is undone at this moment unless it is confirmed' });

const action = z.enum(['added', 'updated', 'removed']);

export const outcomeSchema = z
  .object({ id: z.string(), port: z.int(), action, effect: effectSchema })
  .meta({ id: 'EndpointOutcome', description: 'Result, or planned result, for one endpoint among several' });

/** Answer to a change of any number of endpoints in one revision. */
export const setSchema = z.object({
  revision: z.int().nullable().meta({
    description: 'Number of this change; null for a dry run; the newest known revision when nothing changed',
    example: 7,
  }),
  changes: z.array(outcomeSchema).meta({ description: 'Without the endpoints that did not change' }),
  nodes: z.array(nodeOutcomeSchema),
  warnings: z.array(z.string()),
  confirm: confirmSchema.optional(),
});

export const rollbackSchema = setSchema
  .extend({ endpoint: endpointSchema.nullable().optional().meta({ description: 'Of a rollback of one endpoint; null: it is removed' }) })
  .meta({ id: 'Rollback' });

const importShape = {
  ...setSchema.shape,
  added: z.int(),
  updated: z.int(),
  removed: z.int(),
  unchanged: z.int().meta({ description: 'Endpoints that the file names and that already are as it says' }),
};

export const importSchema = z.object(importShape).meta({ id: 'Import' });

export const restoreSchema = z
  .object({ ...importShape, adopted: z.boolean().meta({ description: 'The node took over the history of the file, with its revisions' }) })
  .meta({ id: 'Restore' });

export const keyChangeSchema = z
  .object({ path: z.string(), from: z.unknown(), to: z.unknown(), effect: effectSchema })
  .meta({ id: 'KeyChange' });

/** Answer to a change of one endpoint. */
export const changeSchema = z
  .object({
    endpoint: endpointSchema,
    revision: z.int().meta({ description: 'Number of this change', example: 7 }),
    effect: effectSchema.optional().meta({ description: 'The hardest effect among the changed keys' }),
    changes: z.array(keyChangeSchema).optional(),
    nodes: z.array(nodeOutcomeSchema),
    warnings: z.array(z.string()),
    confirm: confirmSchema.optional(),
  })
  .meta({ id: 'Change' });

export const confirmedSchema = z.object({
  revision: z.int(),
  endpoints: z.array(z.object({ id: z.string(), port: z.int() })).meta({ description: 'The endpoints that the revision had changed' }),
  nodes: z.array(nodeOutcomeSchema),
  warnings: z.array(z.string()),
});

const plannedEndpointSchema = outcomeSchema.extend({ clientsAffected: z.int(), changes: z.array(keyChangeSchema) });

export const planSchema = z.object({
  changes: z.array(
    keyChangeSchema.extend({ endpoint: z.string().optional().meta({ description: 'Id of the endpoint, for a rollback or an import' }) }),
  ),
  clientsAffected: z.int(),
  warnings: z.array(z.string()),
  endpoints: z
    .array(plannedEndpointSchema)
    .optional()
    .meta({ description: 'For a rollback or an import: each endpoint, without unchanged ones' }),
});

export const validateSchema = z.object({ valid: z.boolean(), issues: z.array(issueSchema), warnings: z.array(z.string()) });

export type NodeOutcome = z.infer<typeof nodeOutcomeSchema>;
export type Confirm = z.infer<typeof confirmSchema>;
export type EndpointOutcome = z.infer<typeof outcomeSchema>;
export type SetAnswer = z.infer<typeof setSchema>;
export type PublicRollback = z.infer<typeof rollbackSchema>;
export type ImportAnswer = z.infer<typeof importSchema>;
export type RestoreAnswer = z.infer<typeof restoreSchema>;
export type PublicChange = z.infer<typeof changeSchema>;
export type ConfirmAnswer = z.infer<typeof confirmedSchema>;
export type PlanAnswer = z.infer<typeof planSchema>;
export type ValidateAnswer = z.infer<typeof validateSchema>;
