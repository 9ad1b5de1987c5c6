/** Splits TypeScript text into what is code, what is a string and what is a comment, well enough to read imports and banned words. */

export interface Scanned {
  /** comments are blanks */
  withoutComments: string;
  /** comments and the insides of strings, templates and regular expressions are blanks */
  codeOnly: string;
}

const blank = (text: string): string => text.replace(/[^\n]/g, ' ');

/** A `/` after one of these begins a regular expression; after a name, a number or a closing bracket it divides. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|await|yield|void|delete|throw|new|else|do))\s*$/;

const COMMENT = /^\/\/[^\n]*|^\/\*[\s\S]*?(?:\*\/|$)/;
const QUOTED = /^'(?:\\[\s\S]|[^'\\\n])*'?|^"(?:\\[\s\S]|[^"\\\n])*"?/;
const REGEX = /^\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/;

/** Scans one file. Lengths and line breaks are kept in both results. */
export function scan(text: string): Scanned {
  let withoutComments = '';
  let codeOnly = '';
  let at = 0;
  /** brace depth inside each open `${` of a template, innermost last */
  const templates: number[] = [];
  const take = (length: number, kind: 'code' | 'string' | 'comment') => {
    const part = text.slice(at, at + length);
    withoutComments += kind === 'comment' ? blank(part) : part;
    codeOnly += kind === 'code' ? part : blank(part);
    at += length;
  };
  const takeTemplate = () => {
    const end = /(?:\\[\s\S]|\$(?!\{)|[^`\\$])*(`|\$\{|$)/y;
    end.lastIndex = at;
    const found = end.exec(text);
    take(Math.max(found?.[0].length ?? 1, 1), 'string');
    if (found?.[1] === '${') templates.push(0);
  };
  while (at < text.length) {
    const rest = text.slice(at);
    const comment = COMMENT.exec(rest);
    const quoted = QUOTED.exec(rest);
    const regex = BEFORE_REGEX.test(codeOnly.slice(-20)) ? REGEX.exec(rest) : null;
    const depth = templates.length - 1;
    const open = templates[depth];
    if (comment !== null) take(comment[0].length, 'comment');
    else if (quoted !== null) take(quoted[0].length, 'string');
    else if (regex !== null) take(regex[0].length, 'string');
    else if (rest[0] === '`') {
      take(1, 'string');
      takeTemplate();
    } else if (rest[0] === '}' && open === 0) {
      templates.pop();
      take(1, 'string');
      takeTemplate();
    } else {
      if (open !== undefined && rest[0] === '{') templates[depth] = open + 1;
      if (open !== undefined && rest[0] === '}') templates[depth] = open - 1;
      take(/^[\w$ \t\n]+/.exec(rest)?.[0].length ?? 1, 'code');
    }
  }
  return { withoutComments, codeOnly };
}

export interface Import {
  name: string;
  /** 1-based */
  line: number;
  /** what stands between `import` and the name: `{ a, type B } from`, `type { C } from`, `(`, or nothing */
  clause: string;
}

const STATEMENTS = [/\b(import|export)\b([^'"`;]*?\bfrom\s*)(['"])([^'"\n]+)\3/g, /\b(import)(\s*\(?\s*)(['"])([^'"\n]+)\3/g];

/** Every module that a file names: static, type-only, re-export, dynamic, side effect. */
export function importsOf({ withoutComments, codeOnly }: Scanned): Import[] {
  const found: Import[] = [];
  for (const statement of STATEMENTS) {
    for (const match of withoutComments.matchAll(statement)) {
      const [, keyword = '', clause = '', , name = ''] = match;
      // the word may also stand in a string
      if (!codeOnly.startsWith(keyword, match.index)) continue;
      found.push({ name, line: withoutComments.slice(0, match.index).split('\n').length, clause: clause.trim() });
    }
  }
  return found;
}
