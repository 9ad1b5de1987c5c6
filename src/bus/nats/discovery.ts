/** Finds the NATS servers: the configured addresses, or the current DNS records of a Kubernetes service. */

import type { SrvRecord } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { BusPlace } from '../settings.ts';

const LOOKUP_TIMEOUT_MS = 2_000;
const CLUSTER_DOMAIN = 'cluster.local';
/** A record of weight 0 is rarely first, but can be (RFC 2782). */
const LEAST_WEIGHT = 0.01;

export interface BusServer {
  /** `host:port`, `[address]:port` */
  address: string;
  /** host name or address that its certificate must name */
  name: string;
}

/**
 * Lists the servers in the order to try them. A service yields its SRV records, which name host and port of each server, by priority and
 * weight (RFC 2782); without SRV records, its addresses with the given port. Equal servers come in random order, which spreads the nodes.
 * @throws FluxError `unavailable` when no record is found
 */
export async function findServers(place: BusPlace): Promise<BusServer[]> {
  if (place.kind === 'addresses') return shuffle(place.addresses).map((address) => ({ address, name: hostOf(address) }));
  const { service, namespace, port, dnsServers } = place;
  const resolver = new Resolver({ timeout: LOOKUP_TIMEOUT_MS, tries: 1 });
  if (dnsServers.length > 0) resolver.setServers(dnsServers);
  const name = `${service}.${namespace}.svc.${clusterDomain()}`;
  const failures: string[] = [];
  const attempt = async <T>(what: string, look: Promise<T[]>): Promise<T[]> => {
    try {
      return await look;
    } catch (error) {
      failures.push(`${what}: ${(error as NodeJS.ErrnoException).code ?? messageOf(error)}`);
      return [];
    }
  };
  const records = weigh(ofPort(await attempt('SRV', resolver.resolveSrv(name)), port));
  const targets = await Promise.all(records.map(async (record) => toServers(record, await addressesOf(resolver, record.name))));
  if (targets.length > 0) return targets.flat();
  const [four, six] = await Promise.all([attempt('A', resolver.resolve4(name)), attempt('AAAA', resolver.resolve6(name))]);
  const addresses = shuffle([...four, ...six]);
  if (addresses.length > 0) return toServers({ name, port }, addresses);
  throw new FluxError('unavailable', `no NATS server is found under ${name} (${failures.join(', ')})`);
}

/**
 * The bare name of a service has a record for each port of each server, including ports between servers. Records of the given port, if any,
 * exclude the others.
 */
function ofPort(records: SrvRecord[], port: number): SrvRecord[] {
  const own = records.filter((record) => record.port === port);
  return own.length > 0 ? own : records;
}

/** RFC 2782: by priority; within one priority at random, heavier records first more often. */
function weigh(records: SrvRecord[]): SrvRecord[] {
  return records
    .map((record) => ({ record, at: -Math.log(Math.random()) / (record.weight + LEAST_WEIGHT) }))
    .sort((a, b) => a.record.priority - b.record.priority || a.at - b.at)
    .map(({ record }) => record);
}

/** Only the same DNS server knows a server's own name, so it is asked first, and the system's resolver second. */
async function addressesOf(resolver: Resolver, name: string): Promise<string[]> {
  const found = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const addresses = found.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  return addresses.length > 0 ? addresses : [name];
}

function toServers({ name, port }: { name: string; port: number }, hosts: string[]): BusServer[] {
  return hosts.map((host) => ({ address: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`, name }));
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

function shuffle<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** The cluster's domain from the search list of a pod, such as `default.svc.cluster.local`. */
function clusterDomain(): string {
  try {
    return /^search\s.*?\bsvc\.(\S+)/m.exec(readFileSync('/etc/resolv.conf', 'utf8'))?.[1] ?? CLUSTER_DOMAIN;
  } catch {
    return CLUSTER_DOMAIN;
  }
}
