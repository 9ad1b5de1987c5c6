/** The rules of an endpoint for one session, judged by its last connection: the client may be offline. */

import { Authoriser } from '../../../src/endpoint/access/rules/authoriser.ts';
import type { EndpointRules } from '../wire/controls.ts';
import type { Holder } from '../wire/holder.ts';
import type { SubscribeRules } from './withdrawal.ts';

export class HolderRules implements SubscribeRules {
  /** null: no rule applies */
  readonly #authoriser: Authoriser | null;

  constructor(
    { enableAcl, acl, namespace }: EndpointRules,
    clientId: string,
    { username, address, rights = null, certCommonName }: Holder,
  ) {
    const isFree = !enableAcl || rights?.isSuperuser === true;
    const named = { clientId, username, namespace, groups: rights?.groups ?? [], certCommonName: certCommonName ?? null };
    const who = { ...named, ip: address };
    this.#authoriser = isFree ? null : new Authoriser(acl, who, rights?.rules);
  }

  get allowsAll(): boolean {
    return this.#authoriser?.allowsAllSubscriptions ?? true;
  }

  maySubscribe(filter: string, qos: number): boolean {
    return this.#authoriser?.maySubscribe(filter, qos) ?? true;
  }

  mayReceive(topic: string): boolean {
    return this.#authoriser?.mayReceive(topic) ?? true;
  }

  /** @param topic text form */
  mayPublish(topic: string, qos: number, retain: boolean): boolean {
    return this.#authoriser?.mayPublish(topic, qos, retain) ?? true;
  }
}
