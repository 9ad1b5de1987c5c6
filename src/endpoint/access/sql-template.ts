/** The query of a `database` authenticator: its placeholders become parameters of the statement. */

import { OTHER_NAMES, PLACEHOLDERS, type Placeholder } from './placeholders.ts';

/** Text in quotes, names in quotes, comments, and a placeholder or question mark outside of them. */
const PARTS = {
  postgres: /'(?:[^']|'')*'|"[^"]*"|--[^\n]*|\/\*[\s\S]*?\*\/|\$\$[\s\S]*?\$\$|\$\{([^}]*)\}|\?/g,
  mysql: /'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`[^`]*`|-- [^\n]*|#[^\n]*|\/\*[\s\S]*?\*\/|\$\{([^}]*)\}|\?/g,
};

export interface SqlTemplate {
  /** `$1`, `$2` … or `?` stand for the parameters */
  readonly sql: string;
  readonly parameters: readonly Placeholder[];
}

/** @param text one that sqlTemplateProblem() has accepted */
export function readSqlTemplate(text: string, kind: 'postgres' | 'mysql'): SqlTemplate {
  const parameters: Placeholder[] = [];
  const sql = text
    .trim()
    .replace(/;$/, '')
    .replace(PARTS[kind], (part, name: string | undefined) => {
      if (name === undefined) return part;
      parameters.push(OTHER_NAMES[name] ?? (name as Placeholder));
      return kind === 'postgres' ? `$${parameters.length}` : '?';
    });
  // Two rows tell that one is not the only one. The line break ends a comment.
  return { sql: `SELECT * FROM (${sql}\n) AS fluxmq_user LIMIT 2`, parameters };
}

/** The reason why a text is no such query, or null. */
export function sqlTemplateProblem(text: string, kind: 'postgres' | 'mysql'): string | null {
  if (!/^\s*(?:select|with)\b/i.test(text)) return 'must be a query that begins with SELECT or WITH';
  if (text.includes('\0')) return 'may not hold a null character';
  let problem: string | null = null;
  let parameters = 0;
  const rest = text
    .trim()
    .replace(/;$/, '')
    .replace(PARTS[kind], (part, name: string | undefined) => {
      if (part === '?' && kind === 'mysql') problem ??= 'may not hold a question mark outside of quotes: write ${username}';
      else if (name === undefined && part.includes('${'))
        problem ??= 'has a placeholder in quotes or in a comment: write it bare, its value is a parameter';
      else if (name !== undefined && !(PLACEHOLDERS as readonly string[]).includes(OTHER_NAMES[name] ?? name))
        problem ??= `has an unknown placeholder \${${name}}; known are ${PLACEHOLDERS.join(', ')}`;
      if (name !== undefined) parameters++;
      return ' ';
    });
  if (problem !== null) return problem;
  if (rest.includes(';')) return 'must be one statement';
  if (/['"`]|\$\{|\/\*/.test(rest)) return 'has a quote, a comment or a placeholder without an end';
  return parameters === 0 ? 'needs a placeholder, such as ${username}' : null;
}
