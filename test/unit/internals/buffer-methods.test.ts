/** Buffer's methods for one encoding, each taken away and replaced. */

import { afterEach, expect, test } from 'vitest';
import { completeBuffers, lackingForBuffers } from '../../../src/internals/buffer-methods.ts';

const native = Object.getOwnPropertyDescriptors(Buffer.prototype);
const { latin1Slice, utf8Slice, latin1Write, utf8Write } = Buffer.prototype;
const NAMES = ['latin1Slice', 'utf8Slice', 'latin1Write', 'utf8Write'] as const;

afterEach(() => {
  Object.defineProperties(Buffer.prototype, native);
});

/** Node's documented methods call those of one encoding: here they keep private ones. */
function takeAway(): void {
  for (const name of NAMES) Reflect.deleteProperty(Buffer.prototype, name);
  Buffer.prototype.toString = function (encoding = 'utf8', start?: number, end?: number): string {
    return (encoding === 'latin1' ? latin1Slice : utf8Slice).call(this, start, end);
  };
  Buffer.prototype.write = function (text: string, ...[offset, length, encoding]: unknown[]): number {
    return (encoding === 'latin1' ? latin1Write : utf8Write).call(this, text, offset as number, length as number);
  };
}

test('nothing is replaced that Node has', () => {
  expect(lackingForBuffers()).toEqual([]);
  completeBuffers();
  expect(Buffer.prototype.latin1Slice).toBe(latin1Slice);
});

test('the replacements read and write the same', () => {
  const bytes = Buffer.alloc(12);
  takeAway();
  const lacking = lackingForBuffers();
  completeBuffers();
  const complete = lackingForBuffers();
  const written = [bytes.utf8Write('é', 1), bytes.latin1Write('é!', 4), bytes.utf8Write('long', 10), bytes.latin1Write('abc', 7, 2)];
  const read = [bytes.utf8Slice(1, 3), bytes.latin1Slice(4, 6), bytes.utf8Slice(10), bytes.latin1Slice(7, 10)];
  const whole = bytes.latin1Slice();
  Object.defineProperties(Buffer.prototype, native);
  expect(lacking).toEqual([...NAMES]);
  expect(complete).toEqual([]);
  expect(written).toEqual([2, 2, 2, 2]);
  expect(read).toEqual(['é', 'é!', 'lo', 'ab\0']);
  expect(whole).toBe(bytes.toString('latin1'));
});
