/** Answers about bans. */

import { z } from 'zod';
import { nodeOutcomeSchema } from './changes.ts';

export const banSchema = z
  .object({
    clientId: z.string().optional(),
    username: z.string().optional(),
    address: z.string().optional().meta({ description: 'An IP address or a network' }),
    clientIdPattern: z.string().optional(),
    usernamePattern: z.string().optional(),
    namespace: z.string().nullable().meta({ description: 'null: in all namespaces' }),
    until: z.string().nullable().meta({ description: 'When it ends; null: never' }),
    reason: z.string(),
    author: z.string().meta({ description: 'The login that made it' }),
    at: z.string().meta({ description: 'When it was made' }),
  })
  .meta({ id: 'Ban' });

export const bansSchema = z.object({
  bans: z.array(banSchema),
  total: z.int().meta({ description: 'All bans of the cluster' }),
  next: z.string().nullable().meta({ description: 'For `after`; null: the list ends here' }),
  revision: z.int().meta({ description: 'Of the newest change of users and bans that this node knows' }),
});

export const banChangeSchema = z.object({
  bans: z.array(banSchema).meta({ description: 'As they are now; empty after a removal' }),
  revision: z.int(),
  nodes: z.array(nodeOutcomeSchema),
});

export type BanView = z.infer<typeof banSchema>;
export type BansAnswer = z.infer<typeof bansSchema>;
export type BanChangeAnswer = z.infer<typeof banChangeSchema>;
