/** Answers about the users in the store. */

import { z } from 'zod';
import { ruleSchema } from '../endpoint/access/forms.ts';
import { nodeOutcomeSchema } from './changes.ts';
import { unreachableSchema } from './envelope.ts';

export const userSchema = z
  .object({
    username: z.string().optional(),
    clientId: z.string().optional(),
    namespace: z.string(),
    isSuperuser: z.boolean().meta({ description: 'No rule applies to the user' }),
    groups: z.array(z.string()),
    acl: z.array(ruleSchema.omit({ subject: true })).meta({ description: 'Rules of the user, before all others' }),
    disabled: z.boolean(),
    comment: z.string(),
    revision: z.int().meta({ description: 'Of the last change of this user, for If-Match' }),
    hash: z.string().optional().meta({ description: 'In an export only' }),
  })
  .meta({ id: 'DirectoryUser' });

export const usersSchema = z.object({
  users: z.array(userSchema),
  total: z.int().meta({ description: 'All users of the cluster' }),
  next: z.string().nullable().meta({ description: 'For `after`; null: the list ends here' }),
  revision: z.int().meta({ description: 'Of the newest change of users that this node knows' }),
});

export const userAnswerSchema = z.object({ user: userSchema, revision: z.int() });

export const userChangeSchema = z.object({
  user: userSchema.nullable().meta({ description: 'null: it is removed' }),
  revision: z.int(),
  nodes: z.array(nodeOutcomeSchema),
  kicked: z.int().optional().meta({ description: 'Clients of the user that were disconnected, with `kick`' }),
  unreachable: z
    .array(unreachableSchema)
    .optional()
    .meta({ description: 'Nodes whose clients of the user may still be connected, and why' }),
});

export const importUsersSchema = z.object({
  added: z.int(),
  updated: z.int(),
  removed: z.int(),
  unchanged: z.int(),
  revision: z.int().nullable().meta({ description: 'null for a dry run; the newest known revision when nothing changed' }),
  nodes: z.array(nodeOutcomeSchema),
});

export const userHistorySchema = z.array(
  z.object({
    revision: z.int(),
    at: z.string(),
    action: z.string(),
    actor: z.string(),
    source: z.string(),
    node: z.string(),
    requestId: z.string(),
    reason: z.string().nullable(),
    count: z.int().meta({ description: 'Changed users' }),
    changes: z
      .array(z.object({ id: z.string(), before: userSchema.nullable(), after: userSchema.nullable(), password: z.boolean() }))
      .meta({ description: 'The first changes of the revision, at most 20; `password`: it has changed' }),
  }),
);

export type UserView = z.infer<typeof userSchema>;
export type UsersAnswer = z.infer<typeof usersSchema>;
export type UserAnswer = z.infer<typeof userAnswerSchema>;
export type UserChangeAnswer = z.infer<typeof userChangeSchema>;
export type ImportUsersAnswer = z.infer<typeof importUsersSchema>;
export type UserHistoryAnswer = z.infer<typeof userHistorySchema>;
