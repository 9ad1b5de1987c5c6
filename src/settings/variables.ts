/** Replaces `${NAME}` in a value by the environment variable NAME; `$${` is a literal `${`. */

import { OTHER_NAMES, PLACEHOLDERS } from '../endpoint/access/placeholders.ts';

/** Placeholders that a CONNECT (docs/access.md) or the end of a node (`serverReference`) fills in; the reader of the file leaves them alone. */
const PER_CLIENT = new Set<string>([...PLACEHOLDERS, ...Object.keys(OTHER_NAMES), 'address', 'node']);
const PER_CLIENT_SECTIONS = new Set(['auth', 'acl', 'endpoints', 'mqtt']);

// In YAML's flow form (`{port: ${PORT}}`) the braces of a variable would be syntax: other characters replace them while YAML is parsed. No
// text can hold these two, and the length stays the same so that positions stay right.
const OPEN = '\ufdd0';
const CLOSE = '\ufdd1';

/** Hides the braces of every variable from YAML. */
export function hideBraces(text: string): string {
  return text.replace(/\$\{([^{}\s,]*)\}/g, `$$${OPEN}$1${CLOSE}`);
}

/** Undoes `hideBraces` in one value. */
export function showBraces(text: string): string {
  return text.replaceAll(OPEN, '{').replaceAll(CLOSE, '}');
}

export interface FilledText {
  text: string;
  problems: string[];
}

/** Replaces every variable of one value. `segments` is the path of the value. */
export function fillIn(text: string, segments: readonly string[], env: NodeJS.ProcessEnv): FilledText {
  const problems: string[] = [];
  const isPerClient = PER_CLIENT_SECTIONS.has(segments[0] ?? '');
  const filled = text.replace(/\$(\$?)\{([^}]*)\}/g, (whole, second: string, name: string) => {
    if (second !== '') return whole.slice(1);
    if (isPerClient && PER_CLIENT.has(name)) return whole;
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      problems.push(`\${${name}} is not the name of a variable`);
      return whole;
    }
    const value = env[name];
    if (value === undefined) problems.push(`the environment variable ${name} is not set`);
    return value ?? whole;
  });
  return { text: filled, problems };
}
