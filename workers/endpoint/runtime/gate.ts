/** Admits connections: counts the places of an endpoint, and of each address at it, over all workers; reports refusals to the log. */

import type { BanIndex } from '../../../src/endpoint/bans/ban-index.ts';
import { connectionsPerAddress, ratePerAddress } from '../../../src/endpoint/defaults.ts';
import { addressKey, isLoopback } from '../../../src/kernel/address.ts';
import { steadyMicros } from '../../../src/kernel/clock.ts';
import type { Logger } from '../../../src/kernel/logger.ts';
import { AddressTable, NO_SLOT } from '../../../src/metrics/address-table.ts';
import { type CounterName, SLOT } from '../../../src/metrics/counters.ts';
import { SharedLimits } from '../../../src/metrics/shared-limits.ts';
import type { EndpointMemory } from '../../../src/thread/commands.ts';
import type { EndpointContext } from '../client/context/context.ts';
import { type Admission, PLACE, type Refusal } from '../connection/connection.ts';

/** Connections over a limit that stay until their CONNECT can be refused with the reason. Further ones are closed at once. */
const REFUSED_AT_ONCE_MAX = 64;
/** The part of REFUSED_AT_ONCE_MAX for addresses over a limit: otherwise one address could take all of it. */
const REFUSED_ADDRESSES_MAX = 32;

/** Share of the node's memory budget that one endpoint may take, so that something is left for the others. */
const ENDPOINT_PART = 3 / 4;

/** Addresses of this node's health checks. A ban of them waits for CONNECT, whose answer tells a check that the endpoint works. */
const PROBES: readonly string[] = ['127.0.0.1', '::1'];

const COUNTERS: Record<Refusal, CounterName> = {
  connection_limit: 'refusedConnectionLimit',
  connection_rate: 'refusedConnectionRate',
  address_limit: 'refusedAddressLimit',
  address_rate: 'refusedAddressRate',
  banned: 'refusedBanned',
};
const TOLD: Record<Refusal, Admission> = {
  connection_limit: { refusal: 'connection_limit', slot: NO_SLOT },
  connection_rate: { refusal: 'connection_rate', slot: NO_SLOT },
  address_limit: { refusal: 'address_limit', slot: NO_SLOT },
  address_rate: { refusal: 'address_rate', slot: NO_SLOT },
  banned: { refusal: 'banned', slot: NO_SLOT },
};

export class Gate {
  readonly limits: SharedLimits;
  readonly #addresses: AddressTable;
  readonly #bans: BanIndex;
  /** connections that wait for their refusal */
  #refused = 0;
  #lastAddress = '';

  constructor(memory: Pick<EndpointMemory, 'limits' | 'addresses' | 'places'>, bans: BanIndex) {
    this.#bans = bans;
    this.limits = new SharedLimits(memory.limits);
    this.#addresses = new AddressTable(memory.addresses, memory.places);
  }

  /**
   * A place for a connection, or the reason of its refusal; null: the caller closes the connection at once. Refusals are counted.
   * @param canLearnWhy whether the connection may be let in without a place, to learn the reason
   */
  admit(context: EndpointContext, address: string, canLearnWhy: boolean): Admission | null {
    const admission = this.#take(context, address);
    const { refusal } = admission;
    if (refusal === null) {
      const { slots } = context;
      slots[SLOT.connectionsTotal]!++;
      const current = ++slots[SLOT.connectionsCurrent]!;
      if (current > slots[SLOT.connectionsMax]!) slots[SLOT.connectionsMax] = current;
      return admission;
    }
    context.count(COUNTERS[refusal]);
    const isOfAddress = refusal === 'address_limit' || refusal === 'address_rate' || refusal === 'banned';
    if (refusal !== 'banned') {
      this.limits.noteRefusal(refusal);
      if (isOfAddress) this.#lastAddress = address;
    }
    if (!canLearnWhy || this.#refused >= (isOfAddress ? REFUSED_ADDRESSES_MAX : REFUSED_AT_ONCE_MAX)) return null;
    this.#refused++;
    return admission;
  }

  /**
   * Looks for a ban, then takes the place of the address first: an address over its limit must not use up the endpoint's. Loopback is exempt, for local proxies.
   */
  #take(context: EndpointContext, address: string): Admission {
    const { endpoint } = context.config;
    const ban = PROBES.includes(address) ? null : this.#bans.findAddress(address);
    if (ban !== null) {
      context.banned.note(`ban of address ${ban.value}`, address);
      return TOLD.banned;
    }
    const nowUs = steadyMicros();
    const key = isLoopback(address) ? null : addressKey(address);
    const limits = { connections: connectionsPerAddress(endpoint), perSecond: ratePerAddress(endpoint) };
    const slot = key === null ? NO_SLOT : this.#addresses.take(key, limits, nowUs);
    if (typeof slot !== 'number') return TOLD[slot];
    let refusal: Refusal | null = null;
    if (!this.limits.takeToken(endpoint.maxConnectionPerSecond, nowUs)) refusal = 'connection_rate';
    else if (!this.limits.acquire(endpoint.maxConnectionSize)) refusal = 'connection_limit';
    if (refusal === null) return slot === NO_SLOT ? PLACE : { refusal: null, slot };
    this.#addresses.release(slot);
    return TOLD[refusal];
  }

  /**
   * Reports the bytes that this worker's clients hold, which count toward the endpoint's share.
   * @param budgetBytes memory budget of the node
   */
  setHeld(context: EndpointContext, bytes: number, budgetBytes: number): void {
    const { slots } = context;
    this.limits.addHeld(bytes - slots[SLOT.heldBytes]!);
    slots[SLOT.heldBytes] = bytes;
    context.shareBytes = budgetBytes * ENDPOINT_PART;
    context.wasOverShare = this.limits.heldBytes > context.shareBytes;
  }

  /** Returns the place of a connection that has gone. */
  release(context: EndpointContext, { refusal, slot }: Admission): void {
    if (refusal !== null) {
      this.#refused--;
      return;
    }
    context.slots[SLOT.connectionsCurrent]!--;
    this.limits.release();
    this.#addresses.release(slot);
  }

  /** Logs refusals, at most one line per second and reason for all workers together: a storm of connections must not flood the log. */
  logRefusals({ config: { endpoint } }: EndpointContext, logger: Logger): void {
    const unlogged = this.limits.takeUnlogged(steadyMicros());
    if (unlogged === null) return;
    const { port, maxConnectionSize, maxConnectionPerSecond, maxSessionSize } = endpoint;
    const log = (what: string, refused: number, limit: Record<string, number | string>) => {
      if (refused > 0) logger.warn(`Endpoint ${port}: ${what} limit reached`, { refused, ...limit });
    };
    log('Connection', unlogged.connection_limit, { maxConnectionSize });
    log('Connection rate', unlogged.connection_rate, { maxConnectionPerSecond });
    log('Session', unlogged.session_limit, { maxSessionSize });
    // Another worker may have refused these connections.
    const last = this.#lastAddress === '' ? {} : { last: this.#lastAddress };
    log('Connection per address', unlogged.address_limit, { maxConnectionPerAddress: connectionsPerAddress(endpoint), ...last });
    log('Connection rate per address', unlogged.address_rate, { maxConnectionPerAddressPerSecond: ratePerAddress(endpoint), ...last });
  }
}
