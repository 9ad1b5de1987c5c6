/** The `wiretap` of an endpoint: every packet as a log line, cut so that only the beginning of a payload shows. */

import type { Logger } from '../../../../src/kernel/logger.ts';
import { PACKET_NAMES } from '../../../../src/mqtt/decode.ts';

/** Logged bytes of a packet. */
const SHOWN_BYTES = 64;

/** Logs one packet. CONNECT and AUTH show no bytes, because passwords never reach a log (docs/endpoints.md, wiretap). */
export function logPacket(
  logger: Logger,
  port: number,
  clientId: string,
  direction: 'in' | 'out',
  buf: Buffer,
  start: number,
  end: number,
): void {
  const type = PACKET_NAMES[buf[start]! >> 4]!;
  const bytes = type === 'CONNECT' || type === 'AUTH' ? null : buf.toString('hex', start, Math.min(end, start + SHOWN_BYTES));
  logger.info(`Endpoint ${port} wiretap ${direction} ${type}`, { clientId, size: end - start, bytes });
}
