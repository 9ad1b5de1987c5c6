/** Placeholders of authenticators: `${username}` stands for a fact about the client that logs in (docs/access.md). */

export const PLACEHOLDERS = ['clientId', 'username', 'password', 'ip', 'endpoint', 'namespace', 'certCommonName'] as const;
export type Placeholder = (typeof PLACEHOLDERS)[number];

/** EMQX's names. */
export const OTHER_NAMES: Readonly<Record<string, Placeholder>> = {
  clientid: 'clientId',
  peerhost: 'ip',
  cert_common_name: 'certCommonName',
};

const PLACEHOLDER = /\$\{([^}]*)\}/g;

/** A text with placeholders: literal texts stand at even positions, names of placeholders at odd ones. */
export type Template = readonly string[];

export function parseTemplate(text: string): Template {
  const parts = text.split(PLACEHOLDER);
  return parts.map((part, index) => (index % 2 === 1 ? (OTHER_NAMES[part] ?? part) : part));
}

/** The names of the placeholders in a text, known or not. */
export function placeholdersIn(text: string): string[] {
  return parseTemplate(text).filter((_, index) => index % 2 === 1);
}

/** The reason why a text is no template, or null. */
export function templateProblem(text: string): string | null {
  const unknown = placeholdersIn(text).find((name) => !(PLACEHOLDERS as readonly string[]).includes(name));
  if (unknown !== undefined) return `has an unknown placeholder \${${unknown}}; known are ${PLACEHOLDERS.join(', ')}`;
  return null;
}

/** True when the text is one placeholder and nothing else. */
export function isPlaceholder(text: string): boolean {
  return /^\$\{\w+\}$/.test(text);
}

/** Fills in a template. @param value the encoded value of a placeholder */
export function fillTemplate(template: Template, value: (name: Placeholder) => string): string {
  let text = '';
  for (let index = 0; index < template.length; index++) {
    const part = template[index]!;
    text += index % 2 === 1 ? value(part as Placeholder) : part;
  }
  return text;
}
