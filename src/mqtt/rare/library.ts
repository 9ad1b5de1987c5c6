/** mqtt-packet: reads the values of one whole packet that strict.ts has checked, and writes packets. Nothing else imports the library. */

import mqttPacket, { type Packet as LibraryPacket } from 'mqtt-packet';
import type { ProtocolVersion } from '../packet.ts';
import { malformed } from '../reader.ts';
import { PacketBytes } from './packet-bytes.ts';

// The library's cache of numbers would cost each thread 20 ms and 65,536 buffers.
mqttPacket.writeToStream.cacheNumbers = false;

/** Writes a packet. @throws Error when the library does not know what to write */
export function writeByLibrary(packet: LibraryPacket, protocolVersion: ProtocolVersion): Buffer {
  return mqttPacket.generate(packet, { protocolVersion });
}

type Command = LibraryPacket['cmd'];
type PacketOf<C extends Command> = Extract<LibraryPacket, { cmd: C }>;

/** Parses one whole packet at a time. */
class WholeParser {
  readonly #parser: ReturnType<typeof mqttPacket.parser>;
  #packet: LibraryPacket | null = null;
  #reason = '';

  constructor(version: ProtocolVersion) {
    this.#parser = mqttPacket.parser({ protocolVersion: version });
    // Undocumented: a version that keeps its input elsewhere reads from its own list.
    if ('_list' in this.#parser) this.#parser._list = new PacketBytes();
    this.#parser.on('packet', (packet) => {
      this.#packet = packet;
    });
    this.#parser.on('error', (error: Error) => {
      this.#reason = error.message;
    });
  }

  /** Null when the library refuses the packet, or wants more bytes. */
  parse(bytes: Buffer): LibraryPacket | null {
    this.#packet = null;
    this.#reason = '';
    const left = this.#parser.parse(bytes);
    return left === 0 && this.#reason === '' ? this.#packet : null;
  }

  get reason(): string {
    return this.#reason;
  }
}

/** For each version, and for CONNECT (0), which sets the version of its parser. Made on first use, for all clients of the thread. */
const parsers = new Map<ProtocolVersion | 0, WholeParser>();

/**
 * Parses one whole packet of this type.
 * @param version 0 for CONNECT
 * @returns Buffers in it are views of `bytes`
 * @throws ProtocolError malformedPacket when the library refuses what the checks have let through
 */
export function parseByLibrary<C extends Command>(cmd: C, bytes: Buffer, version: ProtocolVersion | 0): PacketOf<C> {
  let parser = parsers.get(version);
  if (parser === undefined) {
    parser = new WholeParser(version === 0 ? 4 : version);
    parsers.set(version, parser);
  }
  const packet = parser.parse(bytes);
  if (packet?.cmd === cmd) return packet as PacketOf<C>;
  // A parser that waits for more bytes would take those of the next packet.
  parsers.delete(version);
  return malformed(parser.reason === '' ? 'the packet cannot be parsed' : parser.reason);
}
