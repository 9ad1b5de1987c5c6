/** Reads a large JSON document as it arrives, one list element at a time: neither the text nor the values are in memory as a whole. */

import { FluxError, messageOf } from '../errors.ts';

/** Called for each whole value with its path and its text in the document. */
export type OnPiece = (path: readonly (string | number)[], text: () => string) => void;

/** True when the object or list at a path is read element by element instead of as one value. */
export type Descends = (path: readonly (string | number)[], isList: boolean) => boolean;

/** Longest text of one whole value, bytes. */
const PIECE_BYTES_MAX = 8 * 1024 * 1024;

const BYTE = { open: 0x7b, close: 0x7d, list: 0x5b, listEnd: 0x5d, comma: 0x2c, colon: 0x3a, quote: 0x22, escape: 0x5c } as const;
const MARK = [0xef, 0xbb, 0xbf];
type Wanted = 'value' | 'first' | 'key' | 'firstKey' | 'colon' | 'after' | 'nothing';

interface Level {
  isList: boolean;
  /** path of the value that comes next, or that was read last */
  key: string | number;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Reads a document chunk by chunk. */
export class PieceReader {
  readonly #descends: Descends;
  readonly #onPiece: OnPiece;
  readonly #levels: Level[] = [];
  #wanted: Wanted = 'value';
  /** parts of the value or key under way; null between values */
  #parts: Buffer[] | null = null;
  #size = 0;
  #isKey = false;
  /** depth of objects and lists within the value */
  #depth = 0;
  #inString = false;
  #isEscaped = false;
  #isScalar = false;
  #offset = 0;

  constructor(descends: Descends, onPiece: OnPiece) {
    this.#descends = descends;
    this.#onPiece = onPiece;
  }

  /** @throws FluxError `invalid`, `too-large` */
  write(chunk: Buffer): void {
    let begin = 0;
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index]!;
      if (this.#parts === null) {
        if (isSpace(byte) || this.#isMark(byte, index)) continue;
        if (this.#begins(byte, index)) begin = index;
        else continue;
      }
      const end = this.#advance(byte);
      if (end === 'within') continue;
      this.#parts!.push(chunk.subarray(begin, end === 'with' ? index + 1 : index));
      this.#finish(index);
      // The byte that ends a number is not part of it.
      if (end === 'before' && !isSpace(byte)) this.#begins(byte, index);
    }
    if (this.#parts !== null) {
      const rest = Buffer.from(chunk.subarray(begin));
      this.#parts.push(rest);
      this.#size += rest.length;
      if (this.#size > PIECE_BYTES_MAX) throw new FluxError('too-large', `One value of the file is larger than ${PIECE_BYTES_MAX} bytes`);
    }
    this.#offset += chunk.length;
  }

  /** @throws FluxError `invalid` when the document ends early */
  end(): void {
    // Nothing follows a number at the very end of the document.
    if (this.#parts !== null && this.#isScalar && this.#levels.length === 0) this.#finish(0);
    if (this.#wanted !== 'nothing') throw notJson(this.#offset === 0 ? 'it is empty' : 'it ends in the middle');
  }

  /** The byte order mark of UTF-8. */
  #isMark(byte: number, index: number): boolean {
    return byte === MARK[this.#offset + index];
  }

  /** Takes a byte between values. @returns true when a value or a key begins with it */
  #begins(byte: number, index: number): boolean {
    const at = this.#offset + index;
    const level = this.#levels.at(-1);
    const isEnd = level?.isList === true ? byte === BYTE.listEnd : byte === BYTE.close;
    if (level !== undefined && isEnd && ['first', 'firstKey', 'after'].includes(this.#wanted)) {
      this.#levels.pop();
      this.#wanted = this.#levels.length === 0 ? 'nothing' : 'after';
      return false;
    }
    if (this.#wanted === 'after' && byte === BYTE.comma && level !== undefined) {
      if (level.isList) level.key = Number(level.key) + 1;
      this.#wanted = level.isList ? 'value' : 'key';
      return false;
    }
    if (this.#wanted === 'colon' && byte === BYTE.colon) {
      this.#wanted = 'value';
      return false;
    }
    if ((this.#wanted === 'key' || this.#wanted === 'firstKey') && byte === BYTE.quote) {
      this.#start(true, false);
      return true;
    }
    if (this.#wanted !== 'value' && this.#wanted !== 'first') throw notJson(`unexpected character at position ${at}`);
    const isContainer = byte === BYTE.open || byte === BYTE.list;
    const isList = byte === BYTE.list;
    if (isContainer && this.#descends(this.#path(), isList)) {
      this.#levels.push({ isList, key: isList ? 0 : '' });
      this.#wanted = isList ? 'first' : 'firstKey';
      return false;
    }
    if (byte === BYTE.close || byte === BYTE.listEnd || byte === BYTE.comma || byte === BYTE.colon)
      throw notJson(`unexpected character at position ${at}`);
    this.#start(false, !isContainer && byte !== BYTE.quote);
    return true;
  }

  #start(isKey: boolean, isScalar: boolean): void {
    this.#parts = [];
    this.#size = 0;
    this.#isKey = isKey;
    this.#isScalar = isScalar;
    this.#depth = 0;
    this.#inString = false;
    this.#isEscaped = false;
  }

  /** Takes a byte of a value. @returns whether the value ends with the byte, or before it, or the byte stands within the value */
  #advance(byte: number): 'within' | 'with' | 'before' {
    if (this.#inString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (byte === BYTE.escape) this.#isEscaped = true;
      else if (byte === BYTE.quote) {
        this.#inString = false;
        return this.#depth === 0 ? 'with' : 'within';
      }
      return 'within';
    }
    if (this.#isScalar) {
      const isOver = isSpace(byte) || byte === BYTE.comma || byte === BYTE.close || byte === BYTE.listEnd;
      return isOver ? 'before' : 'within';
    }
    if (byte === BYTE.quote) this.#inString = true;
    else if (byte === BYTE.open || byte === BYTE.list) this.#depth++;
    else if (byte === BYTE.close || byte === BYTE.listEnd) {
      this.#depth--;
      if (this.#depth === 0) return 'with';
    }
    return 'within';
  }

  #finish(index: number): void {
    const parts = this.#parts ?? [];
    this.#parts = null;
    const level = this.#levels.at(-1);
    const text = () => decode(parts);
    if (this.#isKey && level !== undefined) {
      level.key = String(parseJson(text(), this.#offset + index));
      this.#wanted = 'colon';
      return;
    }
    const path = this.#path();
    this.#wanted = level === undefined ? 'nothing' : 'after';
    this.#onPiece(path, text);
  }

  #path(): (string | number)[] {
    return this.#levels.map(({ key }) => key);
  }
}

function decode(parts: Buffer[]): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(parts.length === 1 ? parts[0] : Buffer.concat(parts));
  } catch (cause) {
    throw new FluxError('invalid', 'The body is not UTF-8', { issues: [{ path: '', message: 'not UTF-8' }], cause });
  }
}

/** One value of the document. @throws FluxError `invalid` */
export function parseJson(text: string, position: number | null = null): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = messageOf(cause).slice(0, 120);
    throw notJson(position === null ? why : `${why}, near position ${position}`, cause);
  }
}

function notJson(why: string, cause?: unknown): FluxError {
  return new FluxError('invalid', 'The body is not JSON', { issues: [{ path: '', message: `not JSON: ${why}` }], cause });
}
