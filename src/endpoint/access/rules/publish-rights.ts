/** The kinds of PUBLISH that a client may send to one topic, as bits: one for each QoS without RETAIN, and one for each with RETAIN. */

import type { AclRule } from '../config.ts';

export const EVERY_QOS = [0, 1, 2] as const;
const RETAIN_SHIFT = 3;

export const ALL_PUBLISH_RIGHTS = 0b111_111;

/** @param qos 0, 1 or 2 */
export function publishRight(qos: number, retain: boolean): number {
  return 1 << (retain ? qos + RETAIN_SHIFT : qos);
}

/** The kinds that a rule is about. One with `qos` and without `retain` is about subscriptions of this QoS, too. */
export function rightsOf({ qos, retain }: Pick<AclRule, 'qos' | 'retain'>): number {
  let rights = 0;
  for (const each of qos ?? EVERY_QOS) {
    if (retain !== true) rights |= publishRight(each, false);
    if (retain !== false) rights |= publishRight(each, true);
  }
  return rights;
}

/** The right that a PUBLISH with this first byte needs [MQTT-3.3.1]. */
export function publishRightOf(firstByte: number): number {
  return 1 << (((firstByte >> 1) & 3) + (firstByte & 1) * RETAIN_SHIFT);
}
