/** Reads the record of a user from Redis. */

import { fillTemplate, parseTemplate, type Template } from '../../../../src/endpoint/access/placeholders.ts';
import { type RedisCommand, readRedisCommand } from '../../../../src/endpoint/access/redis-command.ts';
import type { RedisAuthConfig } from '../../../../src/endpoint/endpoint.ts';
import type { AskWho } from '../../../../src/thread/access/ask.ts';
import type { Asker, Notify } from '../contract.ts';
import { factOf, Unwritable } from '../facts.ts';
import type { RawRecord } from '../record/read-record.ts';
import { RecordAsker, type RecordSource } from '../record/record-asker.ts';
import { connectRedis, type RedisConnection, RedisRefusal } from './client.ts';

export async function openRedisAsker(config: RedisAuthConfig, notify: Notify): Promise<Asker> {
  return new RecordAsker(config, new RedisSource(config), notify);
}

/** The key that a client names holds something else than a record. */
const WRONG_TYPE = 'WRONGTYPE';

class RedisSource implements RecordSource {
  readonly #config: RedisAuthConfig;
  readonly #command: RedisCommand;
  readonly #key: Template;
  #connection: RedisConnection | null = null;
  #connecting: Promise<RedisConnection> | null = null;
  #isClosed = false;
  /** answers so far: a deadline without any answer in between means a dead connection */
  #answers = 0;

  constructor(config: RedisAuthConfig) {
    this.#config = config;
    this.#command = readRedisCommand(config.command);
    this.#key = parseTemplate(this.#command.key);
  }

  async find(who: AskWho, signal: AbortSignal): Promise<RawRecord | null> {
    const key = this.#keyOf(who);
    if (key === null) return null;
    const connection = await this.#connected();
    const answers = this.#answers;
    const hang = () => {
      if (this.#answers === answers) this.#drop(connection);
    };
    signal.addEventListener('abort', hang, { once: true });
    try {
      const { name, fields } = this.#command;
      const reply = await connection.send(name, key, name === 'GET' ? [] : fields);
      this.#answers++;
      return this.#toRecord(reply);
    } catch (error) {
      if (!(error instanceof RedisRefusal)) throw error;
      this.#answers++;
      if (error.code === WRONG_TYPE) return null;
      // The login is out of date, or this server is no longer the master: a new connection finds out.
      this.#drop(connection);
      throw error;
    } finally {
      signal.removeEventListener('abort', hang);
    }
  }

  /** Null: the client lacks a value, or has one that is no text, and so no such user exists. */
  #keyOf(who: AskWho): string | null {
    let isComplete = true;
    try {
      const key = fillTemplate(this.#key, (name) => {
        const fact = factOf(who, name);
        isComplete &&= fact !== null;
        return fact ?? '';
      });
      return isComplete ? key : null;
    } catch (error) {
      if (error instanceof Unwritable) return null;
      throw error;
    }
  }

  /** One connection serves all questions; all wait for the same attempt. */
  async #connected(): Promise<RedisConnection> {
    if (this.#connection?.isOpen === true) return this.#connection;
    this.#drop(this.#connection);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #connect(): Promise<RedisConnection> {
    const connection = await connectRedis(this.#config.redis, this.#config.timeout);
    if (this.#isClosed) {
      connection.destroy();
      throw new Error('the authenticator is closed');
    }
    this.#connection = connection;
    return connection;
  }

  #drop(connection: RedisConnection | null): void {
    if (connection === null) return;
    if (this.#connection === connection) this.#connection = null;
    connection.destroy();
  }

  /** @throws Error for an answer of another form than the command has */
  #toRecord(reply: unknown): RawRecord | null {
    const { name, fields } = this.#command;
    if (name === 'GET' || name === 'HGET') return reply === null ? null : { [fields[0]!]: reply };
    if (!Array.isArray(reply)) throw new Error('Redis answers with another type than the command has');
    if (name === 'HGETALL') {
      if (reply.length % 2 !== 0) throw new Error('Redis answers with a field without a value');
      return Object.fromEntries(Array.from({ length: reply.length / 2 }, (_, at) => [String(reply[2 * at]), reply[2 * at + 1] as unknown]));
    }
    if (reply.length !== fields.length) throw new Error('Redis answers with another number of fields');
    return Object.fromEntries(fields.map((field, at) => [field, reply[at] as unknown]));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#drop(this.#connection);
  }
}
