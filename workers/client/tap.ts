/** The `wiretap` of an endpoint: every packet as a log line, cut so that a payload shows no more than its beginning. */

import type { Logger } from '../../src/kernel/logger.ts';
import { PACKET_NAMES } from '../../src/mqtt/decode.ts';

/** Bytes of a packet that are shown. */
const SHOWN_BYTES = 64;

/** Logs one packet. A CONNECT shows no byte, because passwords never reach a log (docs/endpoints.md, wiretap). */
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
