/** Reads texts (comments, messages, documents) and lists what a reader cannot follow: documents that a clone does not have, and idioms. */

import type { SourceFile } from './checker.ts';

/** Patterns that no line of the project may match, and the reason. A pattern does not match its own source, so this file is checked, too. */
const KEPT_OUT: readonly { pattern: RegExp; why: string }[] = [
  {
    pattern: /\b(?:SPEC|DESIGN)\s?(?:\.md|§|section)/,
    why: 'cites a document that a clone does not have: cite a page in docs/ or a standard',
  },
  idiom(/\bmean(?:while)\b/i, 'name the time: "during the move", "until CONNACK"'),
  idiom(/\bhear(?:d) of\b/i, 'say what happened: a packet came, a message arrived, somebody learned it'),
  idiom(/\bis non(?:e) of\b/i, 'say what it is not, with "not"'),
  idiom(/\bno matte(?:r) of\b/i, 'say what it is'),
  idiom(/\bas ye(?:t)\b/i, '"not yet", or the state now'),
  idiom(/\bgoe(?:s) on\b/i, '"continues", "still works", "stays"'),
  idiom(/\b(?:is|are|was|were|be|been|being) tol(?:d)\b(?! apart)/i, '"is reported", "is logged", "learns", "gets"'),
];

/** @param instead the way out, for the message */
function idiom(pattern: RegExp, instead: string): { pattern: RegExp; why: string } {
  return { pattern, why: `an idiom that readers stumble over: ${instead} (CONTRIBUTING.md, Style)` };
}

/** The style sheet quotes what it advises against: `| "before" | "after" |`. */
const QUOTED = /^\| "/;

/** Every breach as `path:line: why (text)`. */
export function checkTexts(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => {
      if (path === 'CONTRIBUTING.md' && QUOTED.test(line)) return [];
      return KEPT_OUT.flatMap(({ pattern, why }) => {
        const found = pattern.exec(line);
        return found === null ? [] : [`${path}:${index + 1}: ${why} (${found[0]})`];
      });
    }),
  );
}
