/** The text of a file that an editor wrote: byte order marks, UTF-16, and bytes that are no text. Pure. */

/** The text without its byte order mark, or the reason why the bytes are no text. */
export type FileText = { text: string; problem: null } | { text: null; problem: string };

const UTF16_ADVICE = 'is UTF-16, as Windows PowerShell writes it: save it as UTF-8';

/** @param takesUtf16 true: reads UTF-16 with a byte order mark; false: reports it as a problem */
export function textOf(bytes: Buffer, takesUtf16: boolean): FileText {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return { text: null, problem: 'is compressed (gzip): unpack it first' };
  const encoding = encodingOf(bytes);
  if (encoding !== 'utf-8' && !takesUtf16) return { text: null, problem: UTF16_ADVICE };
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    return text.includes('\0') ? { text: null, problem: 'is no text: it holds NUL bytes' } : { text, problem: null };
  } catch {
    return { text: null, problem: encoding === 'utf-8' ? 'is not UTF-8' : 'is broken UTF-16' };
  }
}

/** The encoding by the byte order mark (Unicode 23.8). */
function encodingOf(bytes: Buffer): 'utf-8' | 'utf-16le' | 'utf-16be' {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  return bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : 'utf-8';
}
