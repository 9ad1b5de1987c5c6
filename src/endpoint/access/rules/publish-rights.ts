/** The kinds of PUBLISH that a client may send to one topic, as bits: one for each QoS without RETAIN, and one for each with RETAIN. */

const RETAIN_SHIFT = 3;

export const ALL_PUBLISH_RIGHTS = 0b111_111;

/** @param qos 0, 1 or 2 */
export function publishRight(qos: number, retain: boolean): number {
  return 1 << (retain ? qos + RETAIN_SHIFT : qos);
}

/** The right that a PUBLISH with this first byte needs [MQTT-3.3.1]. */
export function publishRightOf(firstByte: number): number {
  return 1 << (((firstByte >> 1) & 3) + (firstByte & 1) * RETAIN_SHIFT);
}
