/** Finds the NATS servers: the addresses given, or what the DNS records of a Kubernetes service say at this moment. */

import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { FluxError } from '../../kernel/errors.ts';
import type { BusPlace } from '../settings.ts';

const LOOKUP_TIMEOUT_MS = 2_000;
const CLUSTER_DOMAIN = 'cluster.local';

/**
 * Servers as `host:port`. Of a service: its SRV records, which name host and port of each server, else its addresses with the port given.
 * @throws FluxError `unavailable` when no record is found
 */
export async function findServers(place: BusPlace): Promise<string[]> {
  if (place.kind === 'addresses') return place.addresses;
  const { service, namespace, port, dnsServers } = place;
  const resolver = new Resolver({ timeout: LOOKUP_TIMEOUT_MS, tries: 1 });
  if (dnsServers.length > 0) resolver.setServers(dnsServers);
  const name = `${service}.${namespace}.svc.${clusterDomain()}`;
  const failures: string[] = [];
  const attempt = async (what: string, look: () => Promise<string[]>) => {
    try {
      return await look();
    } catch (error) {
      failures.push(`${what}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
      return [];
    }
  };
  const services = await attempt('SRV', async () => {
    const records = await resolver.resolveSrv(name);
    return records.sort((a, b) => a.priority - b.priority || b.weight - a.weight).map((record) => `${record.name}:${record.port}`);
  });
  // A server's own name is only known to the same DNS server: its address is looked up here.
  if (services.length > 0) return (await Promise.all(services.map((server) => toAddresses(resolver, server)))).flat();
  const addresses = await attempt('A', async () => (await resolver.resolve4(name)).map((address) => `${address}:${port}`));
  if (addresses.length > 0) return addresses;
  const found = await attempt('AAAA', async () => (await resolver.resolve6(name)).map((address) => `[${address}]:${port}`));
  if (found.length > 0) return found;
  throw new FluxError('unavailable', `no NATS server is found under ${name} (${failures.join(', ')})`);
}

async function toAddresses(resolver: Resolver, server: string): Promise<string[]> {
  const [name = '', port = ''] = server.split(':');
  try {
    return (await resolver.resolve4(name)).map((address) => `${address}:${port}`);
  } catch {
    return [server]; // the system may know it
  }
}

/** The domain of the cluster by the search list of a pod, such as `default.svc.cluster.local`. */
function clusterDomain(): string {
  try {
    return /^search\s.*?\bsvc\.(\S+)/m.exec(readFileSync('/etc/resolv.conf', 'utf8'))?.[1] ?? CLUSTER_DOMAIN;
  } catch {
    return CLUSTER_DOMAIN;
  }
}
