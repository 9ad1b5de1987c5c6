/** Reads SUBSCRIBE and UNSUBSCRIBE with very many filters in slices. No filter takes effect before the whole packet is well formed. */

import { Pace } from '../../../../src/kernel/turns/pace.ts';
import type { Steps } from '../../../../src/kernel/turns/steps.ts';
import { decodeInSteps } from '../../../../src/mqtt/decode.ts';
import type { Packet, ProtocolVersion } from '../../../../src/mqtt/packet.ts';
import { HOLD, type Hold } from './packet-reader.ts';

/** The client, as far as its long packets are concerned. */
export interface LongReader {
  readonly version: ProtocolVersion;
  readonly isClosed: boolean;
  hold(reason: Hold): void;
  fail(error: unknown): void;
}

/** Packets of this size or more are read in slices, bytes. */
const LONG_BYTES = 32 * 1024;

/**
 * Takes a long SUBSCRIBE or UNSUBSCRIBE, and holds the client until the packet is answered.
 * @param buf unchanged while the packet is being read
 * @returns false for any other packet
 * @throws ProtocolError for a fault before the first filter; a later fault goes to client.fail()
 */
export function takeLongPacket(client: LongReader, buf: Buffer, start: number, end: number, then: (packet: Packet) => void): boolean {
  if (end - start < LONG_BYTES) return false;
  const steps = decodeInSteps(buf, start, end, client.version);
  if (steps === null) return false;
  client.hold(HOLD.subscribe);
  void read(client, steps, then).catch((error: unknown) => client.fail(error));
  return true;
}

async function read(client: LongReader, steps: Steps<Packet>, then: (packet: Packet) => void): Promise<void> {
  const pace = new Pace();
  for (;;) {
    const step = steps.next();
    if (client.isClosed) return;
    if (step.done === true) {
      then(step.value);
      return;
    }
    if (pace.isOver) await pace.next();
  }
}
