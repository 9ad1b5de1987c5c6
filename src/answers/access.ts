/** Answers about the node-wide authenticators and rules. */

import { z } from 'zod';
import { ACCESS_ANSWERS } from '../endpoint/access/forms.ts';
import { nodeOutcomeSchema } from './changes.ts';

const parts = {
  auth: ACCESS_ANSWERS.authConfig.optional().meta({ description: 'Of /api/auth: the authenticators in order, secrets masked' }),
  acl: ACCESS_ANSWERS.aclConfig.optional().meta({ description: 'Of /api/acl: order, default and rules' }),
};
const source = z
  .enum(['store', 'configuration'])
  .meta({ description: 'configuration: the store has none, and that of config.yaml applies' });

export const accessSchema = z.object({
  ...parts,
  source,
  revision: z.int().nullable().meta({ description: 'Of the last change, for If-Match; null: the store has none' }),
});

export const accessChangeSchema = z.object({
  ...parts,
  source,
  warnings: z.array(z.string()),
  endpoints: z.int().meta({ description: 'Enabled endpoints that it applies to: those without their own' }),
  revision: z.int().nullable().meta({ description: 'null: nothing was changed' }),
  nodes: z.array(nodeOutcomeSchema),
});

export const accessHistorySchema = z.array(
  z.object({
    revision: z.int(),
    at: z.string(),
    action: z.string(),
    actor: z.string(),
    source: z.string(),
    node: z.string(),
    requestId: z.string(),
    reason: z.string().nullable(),
    before: z.unknown().meta({ description: 'null: that of the configuration applied' }),
    after: z.unknown().meta({ description: 'null: that of the configuration applies' }),
  }),
);

export type AccessView = Omit<z.infer<typeof accessSchema>, 'auth' | 'acl'> & { auth?: unknown; acl?: unknown };
export type AccessChangeAnswer = Omit<z.infer<typeof accessChangeSchema>, 'auth' | 'acl'> & { auth?: unknown; acl?: unknown };
export type AccessHistoryAnswer = z.infer<typeof accessHistorySchema>;
