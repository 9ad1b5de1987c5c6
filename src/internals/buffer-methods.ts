/**
 * Buffer's methods for one encoding, which Node documents in part only and @types/node leaves out. They skip an option look-up per call.
 * Documented methods replace missing ones.
 */

declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string;
    utf8Slice(start?: number, end?: number): string;
    latin1Write(text: string, offset?: number, length?: number): number;
    utf8Write(text: string, offset?: number, length?: number): number;
  }
}

const REPLACEMENTS = {
  latin1Slice(this: Buffer, start?: number, end?: number): string {
    return this.toString('latin1', start, end);
  },
  utf8Slice(this: Buffer, start?: number, end?: number): string {
    return this.toString('utf8', start, end);
  },
  latin1Write(this: Buffer, text: string, offset = 0, length = this.length - offset): number {
    return this.write(text, offset, length, 'latin1');
  },
  utf8Write(this: Buffer, text: string, offset = 0, length = this.length - offset): number {
    return this.write(text, offset, length, 'utf8');
  },
};

type Method = keyof typeof REPLACEMENTS;

/** @returns the names of the methods that this Node lacks; after completeBuffers(), none */
export function lackingForBuffers(): Method[] {
  return (Object.keys(REPLACEMENTS) as Method[]).filter((name) => typeof Buffer.prototype[name] !== 'function');
}

/** Adds the methods that this Node lacks, in this thread. */
export function completeBuffers(): void {
  for (const name of lackingForBuffers()) Object.defineProperty(Buffer.prototype, name, { value: REPLACEMENTS[name], configurable: true });
}
