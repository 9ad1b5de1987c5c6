/** Routes about access rules. */

import { isIP } from 'node:net';
import { z } from '@hono/zod-openapi';
import { aclVerdictSchema } from '../../../answers/node.ts';
import type { ControlPlane } from '../../../control/contract/control-plane.ts';
import { checkTopicName, parseSharedFilter } from '../../../mqtt/topic.ts';
import { actionRoute, type Route } from '../../http/route.ts';
import { TOPIC_NAME_EXPECTED } from '../../http/schemas.ts';

const CLIENT_ID_MAX = 65_535;
const PORT_MAX = 65_535;

const testSchema = z
  .strictObject({
    id: z.string().optional().openapi({ description: 'The endpoint, by id, by port, or by both', example: 'mqtt-1883' }),
    port: z.int().min(1).max(PORT_MAX).optional(),
    clientId: z.string().max(CLIENT_ID_MAX).default(''),
    username: z
      .string()
      .max(CLIENT_ID_MAX)
      .nullable()
      .default(null)
      .openapi({ description: 'The user after the login; null: the client has none' }),
    ip: z
      .string()
      .refine((value) => isIP(value) !== 0, 'expected an IP address')
      .default('127.0.0.1')
      .openapi({ description: 'Address of the client' }),
    groups: z.array(z.string()).max(32).default([]).openapi({ description: 'Groups beside those of the user in the store' }),
    certCommonName: z.string().nullable().default(null).openapi({ description: 'Common name of the client certificate' }),
    action: z.enum(['publish', 'subscribe']),
    topic: z.string().openapi({ description: 'Topic name for publish, topic filter for subscribe' }),
    qos: z.int().min(0).max(2).default(0).openapi({ description: 'QoS of the message, or the one that the subscription asks for' }),
    retain: z.boolean().default(false).openapi({ description: 'RETAIN flag of the message' }),
  })
  .superRefine(({ id, port, action, topic }, context) => {
    if (id === undefined && port === undefined)
      context.addIssue({ code: 'custom', path: ['id'], message: 'give id or port of the endpoint' });
    if (action === 'publish' && !checkTopicName(topic))
      context.addIssue({
        code: 'custom',
        path: ['topic'],
        message: TOPIC_NAME_EXPECTED,
      });
    if (action === 'subscribe' && parseSharedFilter(topic) === null)
      context.addIssue({ code: 'custom', path: ['topic'], message: 'expected a topic filter' });
  })
  .openapi('AclTest');

export const accessRoutes = ({ reads }: Pick<ControlPlane, 'reads'>): Route[] => [
  actionRoute(
    {
      method: 'post',
      path: '/api/acl/test',
      tag: 'Access',
      summary: 'Says whether a client may publish or subscribe, and which rule decides',
      statuses: [404],
      body: {
        schema: testSchema,
        example: { id: 'mqtt-1883', clientId: 'sensor-1', username: 'sensor', action: 'publish', topic: 'sensors/1/temperature' },
      },
      answer: { data: aclVerdictSchema },
    },
    ({ id, port, ...test }) => ({
      data: reads.testAcl({ ...(id === undefined ? {} : { id }), ...(port === undefined ? {} : { port }) }, test),
    }),
  ),
];
