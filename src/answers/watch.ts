/** Events of GET /api/endpoints/watch. A schema has the event's name and id, which stand in lines of their own, beside the keys of its data. */

import { z } from 'zod';
import { statusSchema } from './endpoints.ts';

/** Keys of every event about an endpoint. `id` grows by 1 with each event; a restarted node begins at another, random value. */
const news = { id: z.int(), at: z.string().meta({ description: 'ISO 8601', example: '2026-01-31T12:00:00.000Z' }), node: z.string() };
const endpoint = { endpoint: z.string().meta({ description: 'Id of the endpoint' }), port: z.int() };

const stateEvent = z.object({
  event: z.literal('state'),
  ...news,
  ...endpoint,
  state: statusSchema.shape.state,
  revision: z.int(),
  reason: z.string().nullable().meta({ description: 'The last error; null: none' }),
});

const revisionEvent = z.object({
  event: z.literal('revision'),
  ...news,
  revision: z.int(),
  changes: z.array(z.object({ id: z.string(), port: z.int(), change: z.enum(['added', 'updated', 'removed']) })),
});

const drainEvent = z.object({
  event: z.literal('drain'),
  ...news,
  ...endpoint,
  total: z.int().meta({ description: 'Clients to disconnect' }),
  left: z.int(),
  until: z.string(),
  ended: z.boolean(),
});

/** The first event of a stream whose Last-Event-ID is no longer kept. */
const incompleteEvent = z.object({ event: z.literal('incomplete'), id: z.null(), reason: z.string() });

/** Marks the beginning of live events. */
const readyEvent = z.object({ event: z.literal('ready'), id: z.int(), node: z.string(), version: z.string(), revision: z.int() });

/** Every event of the stream. */
export const streamEventSchema = z.discriminatedUnion('event', [stateEvent, revisionEvent, drainEvent, incompleteEvent, readyEvent]);

export type StreamEvent = z.infer<typeof streamEventSchema>;
/** An event about endpoints: the node keeps the last of them. */
export type WatchEvent = Extract<StreamEvent, { at: string }>;
