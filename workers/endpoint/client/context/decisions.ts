/** The topics that one client may publish and subscribe to. Decisions are cached until the rules of its endpoint change. */

import { Authoriser } from '../../../../src/endpoint/access/rules/authoriser.ts';
import { ALL_PUBLISH_RIGHTS, publishRight } from '../../../../src/endpoint/access/rules/publish-rights.ts';
import type { OwnRights } from '../../../../src/endpoint/endpoint.ts';
import { fromLatin1, isSystemTopic } from '../../../../src/mqtt/topic.ts';
import type { SubscribeRules } from '../../../shared/rights/withdrawal.ts';
import type { EndpointContext } from './context.ts';

/** Decisions cached per client, and characters of their topics; bounded, because the client chooses the topics. */
const DECISIONS_MAX = 256;
const CHARACTERS_MAX = 16 * 1024;
/** Longer topics than this are not cached. */
const REMEMBERED_MAX = 512;

/** The client to be judged. */
export interface DecisionSubject {
  readonly clientId: string;
  readonly username: string | null;
  readonly address: string;
  /** given by its login; null: none */
  readonly rights: OwnRights | null;
  /** of its verified certificate; null: there is none */
  readonly certCommonName: string | null;
}

export class Decisions implements SubscribeRules {
  readonly #endpoint: EndpointContext;
  readonly #who: DecisionSubject;
  #authoriser: Authoriser | null = null;
  #publish: Map<string, number> | null = null;
  #characters = 0;
  /** version of the configuration that the cached decisions are for */
  #version = 0;

  constructor(endpoint: EndpointContext, who: DecisionSubject) {
    this.#endpoint = endpoint;
    this.#who = who;
  }

  /** Forgets what it has decided, because the client has other rights. */
  forget(): void {
    this.#authoriser = null;
    this.#publish = null;
  }

  /** @param topic latin1 form */
  mayPublish(topic: string, qos: number, retain: boolean): boolean {
    return (this.publishRights(topic) & publishRight(qos, retain)) !== 0;
  }

  /** The kinds of PUBLISH that the client may send to a topic, as bits (publish-rights.ts). @param topic latin1 form */
  publishRights(topic: string): number {
    if (isSystemTopic(topic)) return 0;
    if (this.#isFree) return ALL_PUBLISH_RIGHTS;
    const authoriser = this.#current();
    let rights = this.#publish?.get(topic);
    if (rights === undefined) {
      rights = authoriser.publishRights(fromLatin1(topic));
      if (topic.length > REMEMBERED_MAX) return rights;
      this.#characters += topic.length;
      if (this.#publish === null || this.#publish.size >= DECISIONS_MAX || this.#characters > CHARACTERS_MAX) {
        this.#publish = new Map();
        this.#characters = topic.length;
      }
      this.#publish.set(topic, rights);
    }
    return rights;
  }

  /** @param filter text form, with its $share prefix */
  maySubscribe(filter: string, qos: number): boolean {
    return this.#isFree || this.#current().maySubscribe(filter, qos);
  }

  get allowsAll(): boolean {
    return this.#isFree || this.#current().allowsAllSubscriptions;
  }

  /** @param topic text form */
  mayReceive(topic: string): boolean {
    return this.#isFree || this.#current().mayReceive(topic);
  }

  /** True when no rule applies to the client. */
  get #isFree(): boolean {
    return !this.#endpoint.config.endpoint.enableAcl || this.#who.rights?.isSuperuser === true;
  }

  #current(): Authoriser {
    const { config, version } = this.#endpoint;
    if (this.#authoriser === null || this.#version !== version) {
      const { clientId, username, address, rights, certCommonName } = this.#who;
      const named = { clientId, username, certCommonName, namespace: config.endpoint.namespace, groups: rights?.groups ?? [] };
      this.#authoriser = new Authoriser(config.acl, { ...named, ip: address }, rights?.rules);
      this.#publish = null;
      this.#version = version;
    }
    return this.#authoriser;
  }
}
