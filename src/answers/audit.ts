/** Answers about the audit. */

import { z } from 'zod';

export const auditEntrySchema = z
  .object({
    at: z.string(),
    node: z.string(),
    actor: z
      .string()
      .nullable()
      .meta({ description: 'The login, `key:<name>` for an API key, or X-Actor over NATS; null: nobody has logged in' }),
    role: z.string().nullable(),
    address: z.string().nullable().meta({ description: 'Of the client; null over NATS' }),
    source: z.enum(['http', 'cli', 'nats']),
    action: z.string().meta({ description: 'Method and route' }),
    about: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
      .meta({ description: 'What the request names, without secrets' }),
    status: z.int(),
    error: z.string().nullable().meta({ description: 'Kind of the error; null: it was done' }),
    revision: z.int().nullable(),
    requestId: z.string(),
    count: z.int().meta({ description: 'Equal refused requests that this entry stands for' }),
  })
  .meta({ id: 'AuditEntry' });

export const auditSchema = z.object({
  entries: z.array(auditEntrySchema),
  next: z.string().nullable().meta({ description: 'For `after`; null: the list ends here' }),
  lost: z.int().meta({ description: 'Entries of this node that the store did not take, since the node started' }),
});

export type AuditView = z.infer<typeof auditEntrySchema>;
export type AuditAnswer = z.infer<typeof auditSchema>;
