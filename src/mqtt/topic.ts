/** Topic names and topic filters: rules, latin1 form, shared subscriptions and matching. */

import { isUtf8 } from 'node:buffer';

const TOPIC_BYTES_MAX = 65_535;
const SLASH = 0x2f;
const PLUS = 0x2b;
const HASH = 0x23;
const DOLLAR = 0x24;

const LONE_SURROGATE = /\p{Surrogate}/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the class is exactly ASCII, control characters included
const NOT_ASCII = /[^\x00-\x7f]/;

/** True for a non-empty text that UTF-8 encodes in at most 65535 bytes, without U+0000 [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3]. */
function isEncodable(text: string): boolean {
  if (text.length === 0 || text.length > TOPIC_BYTES_MAX || text.includes('\0')) return false;
  return !LONE_SURROGATE.test(text) && (text.length * 3 <= TOPIC_BYTES_MAX || Buffer.byteLength(text) <= TOPIC_BYTES_MAX);
}

/** Whether UTF-8 text `topic` is a topic name: no wildcards [MQTT-4.7.1-1], and the rules of [MQTT-4.7.3-1] to [MQTT-4.7.3-3]. */
export function checkTopicName(topic: string): boolean {
  return isEncodable(topic) && !topic.includes('+') && !topic.includes('#');
}

/**
 * Whether UTF-8 text `filter` is a topic filter: `#` is the last character and a whole level [MQTT-4.7.1-1],
 * `+` is a whole level [MQTT-4.7.1-2]. Treats `$share/` as an ordinary level; `parseSharedFilter` interprets it.
 */
export function checkTopicFilter(filter: string): boolean {
  if (!isEncodable(filter)) return false;
  const last = filter.length - 1;
  for (let i = 0; i <= last; i++) {
    const char = filter.charCodeAt(i);
    if (char !== PLUS && char !== HASH) continue;
    if (i > 0 && filter.charCodeAt(i - 1) !== SLASH) return false;
    if (i < last && (char === HASH || filter.charCodeAt(i + 1) !== SLASH)) return false;
  }
  return true;
}

/** True for the server's own topics: no client may publish to them, whatever the ACL rules are. */
export function isSystemTopic(topic: string): boolean {
  return topic.startsWith('$SYS/');
}

/** Largest number of levels for a tree of levels. More levels would cost too much memory, or too much stack in a recursion. */
const LEVELS_MAX = 128;

/** Whether a topic name or filter has more levels than LEVELS_MAX. The standard limits only the length. */
export function isDeep(topic: string): boolean {
  if (topic.length < LEVELS_MAX) return false;
  let at = -1;
  for (let levels = 1; levels <= LEVELS_MAX; levels++) {
    at = topic.indexOf('/', at + 1);
    if (at < 0) return false;
  }
  return true;
}

/** A subscription: the filter to match with, and the group that shares its messages. */
export interface SharedFilter {
  /** null = an ordinary subscription */
  group: string | null;
  filter: string;
}

/**
 * Splits `$share/<group>/<filter>` [MQTT-4.8.2-1] [MQTT-4.8.2-2] and FluxMQ's `$queue/<filter>` (group `$queue`); any other
 * filter has group null. Returns null when the group is empty or holds a wildcard, or the filter breaks the filter rules.
 */
export function parseSharedFilter(filter: string): SharedFilter | null {
  if (!checkTopicFilter(filter)) return null;
  if (filter.startsWith('$queue/')) return shared('$queue', filter.slice('$queue/'.length));
  if (!filter.startsWith('$share/')) return { group: null, filter };
  const slash = filter.indexOf('/', '$share/'.length);
  if (slash < 0) return null;
  const group = filter.slice('$share/'.length, slash);
  return checkTopicName(group) ? shared(group, filter.slice(slash + 1)) : null;
}

function shared(group: string, filter: string): SharedFilter | null {
  return checkTopicFilter(filter) ? { group, filter } : null;
}

/** Turns well-formed UTF-16 text into a string with one character per UTF-8 byte. `fromLatin1` is the inverse. */
export function toLatin1(utf8Text: string): string {
  return NOT_ASCII.test(utf8Text) ? Buffer.from(utf8Text, 'utf8').toString('latin1') : utf8Text;
}

/** The text whose UTF-8 bytes are the characters of `key`; `key` must come from `toLatin1` or from checked topic bytes. */
export function fromLatin1(key: string): string {
  return NOT_ASCII.test(key) ? Buffer.from(key, 'latin1').toString('utf8') : key;
}

const SHORT_TEXT_BYTES = 256;

/** Whether bytes `start..end` of `buf` are well-formed UTF-8 [MQTT-1.5.4-1] without U+0000 [MQTT-1.5.4-2]. May be empty. */
export function isTextBytes(buf: Buffer, start: number, end: number): boolean {
  // Native code is faster for longer texts.
  if (end - start > SHORT_TEXT_BYTES) {
    const bytes = buf.subarray(start, end);
    return isUtf8(bytes) && !bytes.includes(0);
  }
  let nonAscii = false;
  for (let i = start; i < end; i++) {
    const byte = buf[i]!;
    if (byte === 0) return false;
    if (byte > 0x7f) nonAscii = true;
  }
  return !nonAscii || isUtf8(buf.subarray(start, end));
}

/** Whether bytes `start..end` of `buf` hold `+` or `#`. In UTF-8 no other character contains those bytes. */
export function hasWildcardBytes(buf: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = buf[i]!;
    if (byte === PLUS || byte === HASH) return true;
  }
  return false;
}

/**
 * Whether bytes `start..end` of `buf` are a topic name: at least one byte [MQTT-4.7.3-1], well-formed UTF-8 without U+0000
 * [MQTT-1.5.4-1] [MQTT-1.5.4-2], no wildcards [MQTT-3.3.2-2].
 */
export function isValidTopicBytes(buf: Buffer, start: number, end: number): boolean {
  return end > start && isTextBytes(buf, start, end) && !hasWildcardBytes(buf, start, end);
}

/**
 * Whether a valid filter matches a valid topic name [MQTT-4.7.3-4]; both as text or both in latin1 form. A filter that begins with a
 * wildcard does not match a topic that begins with `$` [MQTT-4.7.2-1].
 */
export function matchesFilter(filter: string, topic: string): boolean {
  const first = filter.charCodeAt(0);
  if (topic.charCodeAt(0) === DOLLAR && (first === PLUS || first === HASH)) return false;
  let f = 0;
  let t = 0;
  for (;;) {
    const char = filter.charCodeAt(f);
    if (char === HASH) return true;
    if (char === PLUS) {
      f++;
      const slash = topic.indexOf('/', t);
      t = slash < 0 ? topic.length : slash;
    } else {
      while (f < filter.length && t < topic.length && filter.charCodeAt(f) === topic.charCodeAt(t) && filter.charCodeAt(f) !== SLASH) {
        f++;
        t++;
      }
    }
    // Both are now at the end of a level, or the levels differ.
    if (f === filter.length) return t === topic.length;
    if (filter.charCodeAt(f) !== SLASH) return false;
    // `sport/#` also matches `sport`, because `#` includes the parent level.
    if (t === topic.length) return f + 2 === filter.length && filter.charCodeAt(f + 1) === HASH;
    if (topic.charCodeAt(t) !== SLASH) return false;
    f++;
    t++;
  }
}
