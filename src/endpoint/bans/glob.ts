/** Patterns of names: `*` is any text, `?` is one character, everything else is itself. No pattern takes long to compare. */

/** Characters of a name that a pattern is compared with. The work of one comparison is at most this times GLOB_MAX. */
const NAME_COMPARED = 1_024;
/** Characters of a pattern. */
export const GLOB_MAX = 128;

/** True when a text matches a pattern. */
export type Glob = (name: string) => boolean;

/** Compiles a pattern. A longer name is cut to its first 1,024 characters. */
export function compileGlob(pattern: string): Glob {
  const [head = '', ...others] = pattern.split('*');
  const tail = others.pop();
  if (tail === undefined) return (name) => name.length === head.length && fitsAt(head, name, 0);
  return (given) => {
    const name = given.length > NAME_COMPARED ? given.slice(0, NAME_COMPARED) : given;
    const end = name.length - tail.length;
    if (end < head.length || !fitsAt(head, name, 0) || !fitsAt(tail, name, end)) return false;
    let from = head.length;
    // The leftmost place of each part leaves the most room for the next one.
    for (const part of others) {
      const at = placeOf(part, name, from, end);
      if (at < 0) return false;
      from = at + part.length;
    }
    return true;
  };
}

function fitsAt(part: string, name: string, at: number): boolean {
  for (let index = 0; index < part.length; index++) if (part[index] !== '?' && part[index] !== name[at + index]) return false;
  return true;
}

/** The first place of a part between two places; -1: there is none. */
function placeOf(part: string, name: string, from: number, end: number): number {
  for (let at = from; at + part.length <= end; at++) if (fitsAt(part, name, at)) return at;
  return -1;
}
