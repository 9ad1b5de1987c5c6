/** Decides whether a CONNECT may enter: the list of authenticators in order, the first success wins (SPEC.md section 6). */

import type { AuthConfig } from '../../src/endpoint/endpoint.ts';
import { FluxError } from '../../src/kernel/errors.ts';
import type { VerifyJob } from '../../src/thread/messages.ts';

export interface Credentials {
  clientId: string;
  username: string | null;
  password: Buffer | null;
  address: string;
}

export type AuthResult = { ok: true; username: string | null } | { ok: false; reason: 'badUserNameOrPassword' | 'serverUnavailable' };

export class Authenticator {
  readonly #ask: (job: VerifyJob) => Promise<boolean>;

  constructor(ask: (job: VerifyJob) => Promise<boolean>) {
    this.#ask = ask;
  }

  async check(_list: AuthConfig[], _who: Credentials): Promise<AuthResult> {
    throw new FluxError('internal', `being built ${typeof this.#ask}`);
  }
}
