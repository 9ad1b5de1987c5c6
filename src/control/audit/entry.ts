/** An entry of the audit: its place among the others, and its form in the store. Pure. */

/** The kinds of the documents: requests that changed something, or were to, and refused ones, which have less room. */
export const AUDIT_KINDS = { done: 'audit', refused: 'refusal' } as const;
export type AuditKind = keyof typeof AUDIT_KINDS;

/** One request, or several equal refused ones. */
export interface AuditRecord {
  /** wall milliseconds */
  at: number;
  node: string;
  /** null: nobody has logged in */
  actor: string | null;
  role: string | null;
  /** of the client; null: it came over NATS */
  address: string | null;
  source: 'http' | 'cli' | 'nats';
  /** method and route, such as `POST /api/users` */
  action: string;
  /** what the request names, without secrets */
  about: Record<string, string | number | boolean>;
  status: number;
  /** kind of the error; null: it was done */
  error: string | null;
  revision: number | null;
  requestId: string;
  /** equal requests that this entry stands for, 1.. */
  count: number;
}

/** Later than any moment of an entry. Keys count down from it, so that the newest entry comes first. */
const END = 1e15;
const SEQUENCE_MAX = 1_000_000;

/** The key of an entry. @param sequence of the process, 0.. */
export function auditKey({ at, node }: Pick<AuditRecord, 'at' | 'node'>, sequence: number): string {
  const down = String(SEQUENCE_MAX - (sequence % SEQUENCE_MAX)).padStart(7, '0');
  return JSON.stringify([`${auditWord(at)}-${down}-${node}`]);
}

/** The beginning of the keys of a moment. */
export function auditWord(at: number): string {
  return String(END - Math.max(0, Math.min(END, Math.floor(at)))).padStart(16, '0');
}

/** The moment of an entry, by the word of its document. */
export function momentOfWord(word: string): number {
  return END - Number(word.slice(0, 16));
}

/** Keys of bodies and queries that name what a request is about; none of them holds a secret. */
const TOLD_KEYS: readonly string[] = [
  'port',
  'id',
  'newPort',
  'username',
  'clientId',
  'clientIdPattern',
  'usernamePattern',
  'namespace',
  'address',
  'name',
  'role',
  'until',
  'revision',
  'mode',
  'dryRun',
  'topic',
  'reason',
];
const VALUE_MAX = 200;
/** Lists of names that a request is about: the first of them. */
const LISTS: readonly string[] = ['ids'];

/** What a body or query names. */
export function aboutOf(given: Record<string, unknown>): AuditRecord['about'] {
  const about: AuditRecord['about'] = {};
  for (const key of TOLD_KEYS) {
    const value = given[key];
    if (typeof value === 'number' || typeof value === 'boolean') about[key] = value;
    else if (typeof value === 'string') about[key] = cut(value);
  }
  for (const key of LISTS) if (Array.isArray(given[key])) about[key] = cut(given[key].slice(0, 20).map(String).join(', '));
  for (const key of ['users', 'bans', 'configs']) if (Array.isArray(given[key])) about[key] = given[key].length;
  return about;
}

function cut(text: string): string {
  return text.length > VALUE_MAX ? `${text.slice(0, VALUE_MAX)}…` : text;
}
