/** Reads texts (comments, messages, documents) and lists what a reader cannot follow: documents that a clone does not have. */

import type { SourceFile } from './checker.ts';

/** What no line of the project may hold, and why. A pattern does not match its own source, so that this file is checked, too. */
const KEPT_OUT: readonly { pattern: RegExp; why: string }[] = [
  {
    pattern: /\b(?:SPEC|DESIGN)\s?(?:\.md|§|section)/,
    why: 'cites a document that a clone does not have: cite a page in docs/ or a standard',
  },
];

/** Every breach as `path:line: what (text)`. */
export function checkTexts(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) =>
    file.text.split('\n').flatMap((line, index) =>
      KEPT_OUT.flatMap(({ pattern, why }) => {
        const found = pattern.exec(line);
        return found === null ? [] : [`${file.path}:${index + 1}: ${why} (${found[0]})`];
      }),
    ),
  );
}
