/** One authenticator that the asking thread asks: cached decisions, and the counters of what became of each login. */

import { createHash } from 'node:crypto';
import { placeholdersIn } from '../../../src/endpoint/access/placeholders.ts';
import type { AskedAuthConfig } from '../../../src/endpoint/endpoint.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { commonNameOf } from '../../../src/kernel/logins/certificate-names.ts';
import type { ScramMethod } from '../../../src/kernel/logins/scram.ts';
import { type AuthResultName, countAuth, observeAuth } from '../../../src/metrics/counters.ts';
import type { AskJob, AskResult, AskWho, LoginVerdict } from '../../../src/thread/access/ask.ts';
import type { Credentials, EntryResult, SecretResult } from './credentials.ts';
import { VerdictCache } from './verdict-cache.ts';

const COUNTED = { allow: 'allowed', deny: 'denied', ignore: 'ignored' } as const satisfies Record<string, AuthResultName>;

export class AskedAuthenticator {
  readonly #config: AskedAuthConfig;
  readonly #key: string;
  readonly #ask: (job: AskJob) => Promise<AskResult>;
  readonly #cache: VerdictCache | null;
  /** facts about the client, beside user name and password, that the decision depends on */
  readonly #depends: readonly Exclude<keyof AskWho, 'found' | 'scram'>[];

  /** @param ask rejects when the asking thread cannot answer */
  constructor(config: AskedAuthConfig, ask: (job: AskJob) => Promise<AskResult>) {
    this.#config = config;
    this.#key = createHash('sha256').update(JSON.stringify(config)).digest('base64');
    this.#ask = ask;
    this.#cache = config.cacheSeconds > 0 ? new VerdictCache(config.cacheSeconds) : null;
    this.#depends = [...new Set(placeholdersIn(JSON.stringify(config)))].sort() as Exclude<keyof AskWho, 'found' | 'scram'>[];
  }

  /** Never rejects. @param slots counters of the endpoint in this thread */
  async decide(who: Credentials, slots: Float64Array): Promise<EntryResult> {
    const { username, password } = who;
    const asked = factsOf(who);
    const { authType } = this.#config;
    const cache = this.#cache;
    const key = cache === null ? '' : cache.keyOf([username, password, ...this.#depends.map((name) => asked[name])]);
    const known = cache?.get(key) ?? null;
    if (known !== null) {
      countAuth(slots, authType, 'cached');
      return resultOf(known, username);
    }
    const result = await this.#count(asked, slots);
    if (!isVerdict(result)) return this.#unanswered;
    cache?.set(key, result);
    return resultOf(result, username);
  }

  /** Finds the secret for a SCRAM exchange. Never rejects, and keeps nothing. */
  async secretOf(who: Credentials, method: ScramMethod, slots: Float64Array): Promise<SecretResult> {
    const result = await this.#count({ ...factsOf(who), scram: method }, slots);
    if (result.result === 'secret') {
      const { rights, secret } = result;
      const [salt, storedKey, serverKey] = [secret.salt, secret.storedKey, secret.serverKey].map((bytes) => Buffer.from(bytes));
      return {
        secret: { ...secret, salt: salt!, storedKey: storedKey!, serverKey: serverKey! },
        ...(rights === undefined ? {} : { rights }),
      };
    }
    return isVerdict(result) ? 'ignore' : this.#unanswered;
  }

  get #unanswered(): 'skipped' | 'unavailable' {
    return this.#config.onUnavailable === 'ignore' ? 'skipped' : 'unavailable';
  }

  async #count(who: AskWho, slots: Float64Array): Promise<AskResult> {
    const { authType } = this.#config;
    const begunAt = steadyNow();
    let result: AskResult;
    try {
      result = await this.#ask({ key: this.#key, config: this.#config, who });
    } catch {
      // The access pool knows and logs the reason.
      result = { result: 'failed', reason: '' };
    }
    switch (result.result) {
      case 'refused':
      case 'paused':
        countAuth(slots, authType, result.result);
        return result;
      case 'failed':
        countAuth(slots, authType, 'failed');
        break;
      case 'secret':
        // The proof decides, and is counted then.
        break;
      default:
        countAuth(slots, authType, COUNTED[result.result]);
    }
    observeAuth(slots, authType, (steadyNow() - begunAt) / 1000);
    return result;
  }
}

function factsOf({ clientId, username, password, address, endpoint, namespace, certificate }: Credentials): AskWho {
  return { clientId, username, password, endpoint, namespace, ip: address, certCommonName: commonNameOf(certificate) };
}

function isVerdict(result: AskResult): result is LoginVerdict {
  return result.result === 'allow' || result.result === 'deny' || result.result === 'ignore';
}

function resultOf(verdict: LoginVerdict, username: string | null): EntryResult {
  if (verdict.result !== 'allow') return verdict.result;
  const { result, keepUntil, ...allowed } = verdict;
  return { ok: true, username, ...allowed };
}
