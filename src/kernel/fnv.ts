/** The hash FNV-1a of a text, for tables and shares: spreads well enough, and takes little time. */

/** The hash of nothing. */
export const FNV_BASIS = 0x811c9dc5;

/** @param hash of what comes before the text. @returns a signed 32-bit number */
export function fnv1a(text: string, hash: number): number {
  let result = hash;
  for (let i = 0; i < text.length; i++) result = Math.imul(result ^ text.charCodeAt(i), 0x01000193);
  return result;
}
