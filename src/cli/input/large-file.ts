/** Files that are too large to read whole: sent to the broker unparsed, with the command's own keys in front. */

import { closeSync, createReadStream, openSync, readSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { StreamedBody } from '../api/exchange.ts';

/** Smaller files are read and checked by the command. */
const LARGE_BYTES = 8 * 1024 * 1024;
/** Room for a byte order mark and white space before the object. */
const LEAD_BYTES = 64;

/**
 * A large file with a JSON object, as a request body.
 * @returns null when the file is not large, or does not begin as a JSON object: the caller then reads it whole
 */
export function largeFile(file: string, cwd: string): ((more: Record<string, unknown>) => StreamedBody) | null {
  const path = resolve(cwd, file);
  const about = file === '-' ? undefined : statSync(path, { throwIfNoEntry: false });
  if (about?.isFile() !== true || about.size < LARGE_BYTES) return null;
  const lead = readLead(path);
  const [, space] = /^(\ufeff?\s*)\{/.exec(lead) ?? [];
  if (space === undefined) return null;
  const start = Buffer.byteLength(space) + 1;
  return (more) => {
    const inner = JSON.stringify(more).slice(1, -1);
    const prefix = Buffer.from(inner === '' ? '{' : `{${inner},`);
    return {
      size: prefix.length + about.size - start,
      chunks: async function* () {
        yield prefix;
        yield* createReadStream(path, { start, end: about.size - 1 }) as AsyncIterable<Buffer>;
      },
    };
  };
}

function readLead(path: string): string {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(LEAD_BYTES);
    return bytes.subarray(0, readSync(file, bytes)).toString('utf8');
  } finally {
    closeSync(file);
  }
}
