/** Types of Buffer's encoding-specific methods, which Node documents in part only and @types/node leaves out; they skip an option look-up per call. */

declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string;
    utf8Slice(start?: number, end?: number): string;
    latin1Write(text: string, offset?: number, length?: number): number;
    utf8Write(text: string, offset?: number, length?: number): number;
  }
}

export type {};
