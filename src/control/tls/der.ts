/** A reader of DER (X.690) for structures that Node does not parse: revocation lists, and PKCS#12 files without a key. */

const SEQUENCE = 0x30;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;

/** Reads the elements of one value in order. Every method throws Error when the bytes do not match its type. */
export class DerReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Tag of the next element. */
  peek(): number {
    const tag = this.#bytes[this.#at];
    if (tag === undefined) throw new Error('the DER value ends too early');
    return tag;
  }

  /** Content of the next element. @param tag the tag that the element must have */
  next(tag?: number): Buffer {
    const [start, end] = this.#span(tag);
    this.#at = end;
    return this.#bytes.subarray(start, end);
  }

  /** The next element with its tag and length. */
  raw(): Buffer {
    const from = this.#at;
    const [, end] = this.#span();
    this.#at = end;
    return this.#bytes.subarray(from, end);
  }

  /** A reader of the elements inside the next element. */
  enter(tag: number): DerReader {
    return new DerReader(this.next(tag));
  }

  sequence(): DerReader {
    return this.enter(SEQUENCE);
  }

  integer(): number {
    const bytes = this.next(0x02);
    if (bytes.length === 0 || bytes.length > 6) throw new Error('a number is out of range');
    return bytes.readIntBE(0, bytes.length);
  }

  /** An object identifier in hexadecimal, which is enough for comparisons. */
  identifier(): string {
    return this.next(0x06).toString('hex');
  }

  isTime(): boolean {
    return !this.isEmpty && (this.peek() === UTC_TIME || this.peek() === GENERALIZED_TIME);
  }

  time(): Date {
    const isShort = this.peek() === UTC_TIME;
    const text = this.next(isShort ? UTC_TIME : GENERALIZED_TIME).toString('latin1');
    const parts = (isShort ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?Z$/).exec(text);
    if (parts === null) throw new Error('a time is not well formed');
    const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts.slice(1).map((part) => Number(part ?? 0));
    // RFC 5280 section 4.1.2.5.1: a year of two digits is 1950 to 2049.
    const century = isShort ? (year < 50 ? 2000 : 1900) : 0;
    return new Date(Date.UTC(century + year, month - 1, day, hour, minute, second));
  }

  #span(tag?: number): [number, number] {
    const found = this.peek();
    if (tag !== undefined && found !== tag) throw new Error(`expected DER tag ${tag}, found ${found}`);
    const first = this.#bytes[this.#at + 1];
    if (first === undefined) throw new Error('the DER value ends too early');
    const count = first < 0x80 ? 0 : first & 0x7f;
    if (first === 0x80 || count > 4 || this.#at + 2 + count > this.#bytes.length)
      throw new Error('the length of a DER value is not readable');
    const length = count === 0 ? first : this.#bytes.readUIntBE(this.#at + 2, count);
    const start = this.#at + 2 + count;
    if (start + length > this.#bytes.length) throw new Error('the DER value ends too early');
    return [start, start + length];
  }
}
