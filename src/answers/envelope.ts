/** The frame of every JSON answer. */

import { z } from 'zod';

export const issueSchema = z
  .object({
    path: z.string().meta({ description: "Dotted path of the value; '' is the whole input", example: 'serverOptions.soBacklog' }),
    message: z.string().meta({ example: 'expected 1..65535' }),
  })
  .meta({ id: 'Issue' });

export const failureSchema = z
  .object({
    code: z.int().meta({ description: 'The HTTP status again', example: 409 }),
    message: z.string().meta({ example: 'Port 1883 is already in use' }),
    data: z.unknown().meta({ description: '412: the current endpoint; unhealthy endpoints: the results' }),
    error: z.object({
      kind: z.string().meta({ description: 'Machine-readable reason', example: 'port-in-use' }),
      issues: z.array(issueSchema).meta({ description: 'Every problem found, not only the first' }),
    }),
  })
  .meta({ id: 'Failure' });

/** A node of the cluster that an answer lacks. */
export const unreachableSchema = z.object({ node: z.string(), reason: z.string() });

export type Unreachable = z.infer<typeof unreachableSchema>;

/** A successful answer of several nodes. */
export function gatheredOf<T extends z.ZodType>(data: T, code: number) {
  return envelopeOf(data, code).extend({
    partial: z.literal(true).optional().meta({ description: 'Some nodes did not answer; absent: all did' }),
    unreachable: z.array(unreachableSchema).optional().meta({ description: 'The nodes that did not answer, and why' }),
  });
}

/** A successful answer. `code` is the HTTP status, or 0 where FluxMQ's form is kept. */
export function envelopeOf<T extends z.ZodType>(data: T, code: number) {
  return z.object({ code: z.literal(code), message: z.string().meta({ example: 'Success' }), data });
}
