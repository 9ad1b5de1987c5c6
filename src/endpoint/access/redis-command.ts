/** The command of a `redis` authenticator. Its key may have placeholders; the command is split into words before any value is filled in. */

/** Fields that a record may have; the first two are names of the same. */
const FIELDS: readonly string[] = ['password', 'password_hash', 'salt', 'is_superuser', 'isSuperuser', 'acl', 'groups'];

export interface RedisCommand {
  /** upper case */
  readonly name: 'HMGET' | 'HGET' | 'HGETALL' | 'GET';
  /** with its placeholders */
  readonly key: string;
  /** those of HMGET and HGET, in order; `password` for GET */
  readonly fields: readonly string[];
}

/** @param text one that redisCommandProblem() has accepted */
export function readRedisCommand(text: string): RedisCommand {
  const [name = '', key = '', ...fields] = text.trim().split(/\s+/);
  const upper = name.toUpperCase() as RedisCommand['name'];
  return { name: upper, key, fields: upper === 'GET' ? ['password'] : fields };
}

/** The reason why a text is no such command, or null. Only commands that read one key are taken. */
export function redisCommandProblem(text: string): string | null {
  if (/["'\\\p{Cc}]/u.test(text)) return 'may not hold quotes, backslashes or control characters';
  const { name, key, fields } = readRedisCommand(text);
  if (!['HMGET', 'HGET', 'HGETALL', 'GET'].includes(name))
    return 'must be HMGET, HGET, HGETALL or GET, as in hmget fluxmq:${username} password salt';
  const written = text.trim().split(/\s+/).length - 2;
  if (key === '') return 'has no key';
  if (name === 'GET' || name === 'HGETALL') return written === 0 ? null : `has fields, which ${name} does not take`;
  if (name === 'HGET' && written !== 1) return 'must have one field with HGET';
  const strange = fields.find((field) => !FIELDS.includes(field));
  if (strange !== undefined) return `may ask for these fields only: ${FIELDS.join(', ')}`;
  if (new Set(fields).size < fields.length) return 'has a field twice';
  return fields.some((field) => field.startsWith('password')) ? null : 'must ask for the field password';
}
