/** One log line in readable form. */

const COLOURS: Record<string, string> = { debug: '\u001b[90m', info: '\u001b[32m', warn: '\u001b[33m', error: '\u001b[31m' };
const RESET = '\u001b[0m';

/**
 * Turns pino's JSON line into `2026-01-31 12:00:00.000 INFO  message key=value`.
 * Control characters in values stay escaped: a client's text cannot forge a line or move the cursor.
 */
export function formatLine(json: string, withColour: boolean): string {
  const { time, level, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const name = String(level);
  const word = name.toUpperCase().padEnd(5);
  const coloured = withColour ? `${COLOURS[name] ?? ''}${word}${RESET}` : word;
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${plain(value)}`);
  return `${String(time).replace('T', ' ').replace('Z', '')} ${coloured} ${escapeControls(String(msg))}${rest.join('')}\n`;
}

function plain(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@-]+$/.test(value)) return value;
  return escapeControls(JSON.stringify(value) ?? 'undefined');
}

function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the expression finds control characters
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
