/** SUBSCRIBE and UNSUBSCRIBE with very many filters are read in slices; nothing of them takes effect before all is well formed. */

import { Pace } from '../../../src/kernel/pace.ts';
import type { Steps } from '../../../src/kernel/turns/steps.ts';
import { decodeInSteps } from '../../../src/mqtt/decode.ts';
import type { Packet, ProtocolVersion } from '../../../src/mqtt/packet.ts';
import { HOLD, type Hold } from '../packet-reader.ts';

/** The client, as far as its long packets are concerned. */
export interface LongReader {
  readonly version: ProtocolVersion;
  readonly isClosed: boolean;
  hold(reason: Hold): void;
  fail(error: unknown): void;
}

/** Bytes from which on a packet is read in slices. */
const LONG_BYTES = 32 * 1024;

/**
 * Takes a long SUBSCRIBE or UNSUBSCRIBE; the client is held until it is answered.
 * @param buf stays as it is for as long as somebody has it
 * @returns false: it is no such packet
 * @throws ProtocolError for what its first bytes say; all else ends in client.fail()
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
