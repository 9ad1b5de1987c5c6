/** Finds the NATS servers: the addresses given, or what the DNS records of a Kubernetes service say at this moment. */

import type { SrvRecord } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { FluxError } from '../../kernel/errors.ts';
import type { BusPlace } from '../settings.ts';

const LOOKUP_TIMEOUT_MS = 2_000;
const CLUSTER_DOMAIN = 'cluster.local';
/** A record of weight 0 is seldom first, but may be. */
const LEAST_WEIGHT = 0.01;

export interface BusServer {
  /** `host:port`, `[address]:port` */
  address: string;
  /** what its certificate must be for: a host name or an address */
  name: string;
}

/**
 * Servers in the order in which they are to be tried. Of a service: its SRV records, which name host and port of each server, in their order of
 * priority and weight (RFC 2782), else its addresses with the port given. Equal ones come in any order, so that nodes spread over them.
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
      failures.push(`${what}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
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

/** The bare name of a service has a record for each port of each server, those between servers among them: if some are of the port given, only they are meant. */
function ofPort(records: SrvRecord[], port: number): SrvRecord[] {
  const own = records.filter((record) => record.port === port);
  return own.length > 0 ? own : records;
}

/** RFC 2782: by priority, and within one in any order in which the heavier are first more often. */
function weigh(records: SrvRecord[]): SrvRecord[] {
  return records
    .map((record) => ({ record, at: -Math.log(Math.random()) / (record.weight + LEAST_WEIGHT) }))
    .sort((a, b) => a.record.priority - b.record.priority || a.at - b.at)
    .map(({ record }) => record);
}

/** A server's own name is only known to the same DNS server, so it is looked up here; what that does not know, the system may. */
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

/** The domain of the cluster by the search list of a pod, such as `default.svc.cluster.local`. */
function clusterDomain(): string {
  try {
    return /^search\s.*?\bsvc\.(\S+)/m.exec(readFileSync('/etc/resolv.conf', 'utf8'))?.[1] ?? CLUSTER_DOMAIN;
  } catch {
    return CLUSTER_DOMAIN;
  }
}
