/** A NATS operator with an account: the configuration of a nats-server that accepts users with credentials files, and such files. */

import { createHash } from 'node:crypto';
import { nkeys } from 'nats';

type KeyPair = ReturnType<typeof nkeys.createUser>;

const text = new TextDecoder();
const SECOND_MS = 1000;

export class NatsOperator {
  readonly #operator = nkeys.createOperator();
  readonly #account = nkeys.createAccount();
  /** the system account that JetStream requires */
  readonly #system = nkeys.createAccount();

  /** Lines of the configuration of a nats-server that knows the account. */
  get config(): string {
    const operator = token(this.#operator, this.#operator.getPublicKey(), 'operator', { type: 'operator', version: 2 });
    const accounts = [this.#account, this.#system].map((account) => [account.getPublicKey(), this.#claims(account)].join(': '));
    const system = this.#system.getPublicKey();
    return `operator: ${operator}\nsystem_account: ${system}\nresolver: MEMORY\nresolver_preload: { ${accounts.join(', ')} }`;
  }

  #claims(account: KeyPair): string {
    const everything = { subs: -1, conn: -1, leaf: -1, imports: -1, exports: -1, data: -1, payload: -1, wildcards: true };
    const jetStream = account === this.#system ? {} : { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
    const claims = { type: 'account', version: 2, limits: { ...everything, ...jetStream } };
    return token(this.#operator, account.getPublicKey(), 'account', claims);
  }

  /** The text of a credentials file. @param lifeMs validity, milliseconds; 0 or less: already expired */
  credentials(lifeMs = 3_600_000): string {
    const user = nkeys.createUser();
    const nats = { type: 'user', version: 2, subs: -1, data: -1, payload: -1, pub: {}, sub: {} };
    const jwt = token(this.#account, user.getPublicKey(), 'user', nats, Math.floor((Date.now() + lifeMs) / SECOND_MS));
    const seed = text.decode(user.getSeed());
    return [
      `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n`,
      `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
    ].join('\n');
  }
}

/** A claim about `subject`, signed by `issuer`. @param expires seconds since the epoch */
function token(issuer: KeyPair, subject: string, name: string, nats: Record<string, unknown>, expires?: number): string {
  const claims = { iat: Math.floor(Date.now() / SECOND_MS), iss: issuer.getPublicKey(), name, sub: subject, nats };
  const body = { jti: createHash('sha256').update(subject).digest('hex'), ...claims, ...(expires === undefined ? {} : { exp: expires }) };
  const head = encode(JSON.stringify({ typ: 'JWT', alg: 'ed25519-nkey' }));
  const signed = `${head}.${encode(JSON.stringify(body))}`;
  return `${signed}.${encode(issuer.sign(Buffer.from(signed)))}`;
}

function encode(data: string | Uint8Array): string {
  return Buffer.from(data).toString('base64url');
}
