/** `${NAME}` inside a value becomes the environment variable NAME; `$${` stands for `${` itself. */

/** Filled in for each client when it connects, not when the file is read (SPEC.md section 6). */
const PER_CLIENT = new Set(['clientId', 'username', 'password', 'ip', 'endpoint']);
const PER_CLIENT_SECTIONS = new Set(['auth', 'acl', 'endpoints', 'mqtt']);

export interface FilledText {
  text: string;
  problems: string[];
}

/** Replaces every variable of one value. `segments` says where the value stands. */
export function fillIn(text: string, segments: readonly string[], env: NodeJS.ProcessEnv): FilledText {
  const problems: string[] = [];
  const isPerClient = PER_CLIENT_SECTIONS.has(segments[0] ?? '');
  const filled = text.replace(/\$(\$?)\{([^}]*)\}/g, (whole, escape: string, name: string) => {
    if (escape !== '') return whole.slice(1);
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
