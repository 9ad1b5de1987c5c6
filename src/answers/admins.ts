/** Answers about administrators and API keys. */

import { z } from 'zod';
import { ROLES } from '../endpoint/admins/admin.ts';
import { nodeOutcomeSchema } from './changes.ts';

const role = z.enum(ROLES);

export const adminSchema = z
  .object({
    username: z.string(),
    role,
    comment: z.string(),
    revision: z.int().nullable().meta({ description: 'Of the last change, for If-Match; null: of the configuration of the node' }),
    isConfigured: z.boolean().meta({ description: 'true: of the configuration of the node that answers, which requests do not change' }),
  })
  .meta({ id: 'Administrator' });

const changed = { revision: z.int(), nodes: z.array(nodeOutcomeSchema) };

export const adminsSchema = z.object({ admins: z.array(adminSchema) });
export const adminChangeSchema = z.object({
  admin: adminSchema.nullable().meta({ description: 'null: it is removed' }),
  ...changed,
});

export const apiKeySchema = z
  .object({
    name: z.string(),
    role,
    comment: z.string(),
    until: z.string().nullable().meta({ description: 'When it ends; null: never' }),
    author: z.string().meta({ description: 'The login that made it' }),
    at: z.string().meta({ description: 'When it was made' }),
    usedAt: z.string().nullable().meta({ description: 'Last use, which each node writes down at most once an hour' }),
  })
  .meta({ id: 'ApiKey' });

export const keysSchema = z.object({ keys: z.array(apiKeySchema) });
export const newKeySchema = z.object({
  key: z.string().meta({ description: 'For `Authorization: Bearer`. It is not kept, and not shown again' }),
  about: apiKeySchema,
  ...changed,
});
export const apiKeyChangeSchema = z.object(changed);

export type AdminView = z.infer<typeof adminSchema>;
export type AdminsAnswer = z.infer<typeof adminsSchema>;
export type AdminChangeAnswer = z.infer<typeof adminChangeSchema>;
export type KeyView = z.infer<typeof apiKeySchema>;
export type KeysAnswer = z.infer<typeof keysSchema>;
export type NewKeyAnswer = z.infer<typeof newKeySchema>;
export type ApiKeyChangeAnswer = z.infer<typeof apiKeyChangeSchema>;
