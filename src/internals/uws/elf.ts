/** Whether a file is a whole library for this processor. To load one that was cut ends the process with SIGBUS, which nothing can catch. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const HEADER_BYTES = 64;
const MAGIC = 0x7f454c46;
/** of the header: 64 bits, little endian */
const CLASS_AND_DATA = 0x0201;
/** by `process.arch` */
const MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };
/** Where the header has them (System V ABI, ELF-64). */
const OFFSET = { classAndData: 4, machine: 18, sections: 40, sectionBytes: 58, sectionCount: 60 };

/** @returns why the file cannot be loaded, without its name: a part of a sentence; null: its header fits, and its end is there */
export function problemOfLibrary(path: string, arch: string): string | null {
  const header = Buffer.alloc(HEADER_BYTES);
  const fd = openSync(path, 'r');
  try {
    const size = readSync(fd, header) < HEADER_BYTES ? 0 : fstatSync(fd).size;
    if (size === 0) return 'is not whole';
    if (header.readUInt32BE(0) !== MAGIC || header.readUInt16BE(OFFSET.classAndData) !== CLASS_AND_DATA) return 'is no library';
    if (header.readUInt16LE(OFFSET.machine) !== MACHINES[arch]) return `is not for ${arch}`;
    // Linkers write the table of sections last.
    const sections = header.readUInt16LE(OFFSET.sectionBytes) * header.readUInt16LE(OFFSET.sectionCount);
    return Number(header.readBigUInt64LE(OFFSET.sections)) + sections > size ? 'is not whole' : null;
  } finally {
    closeSync(fd);
  }
}
