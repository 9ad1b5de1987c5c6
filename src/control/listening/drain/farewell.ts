/** How clients leave a node that stops: at once when it is alone; else one after the other, at a rate that the other nodes accept. */

import type { Endpoint } from '../../../endpoint/endpoint.ts';
import type { Drain } from '../../../thread/commands.ts';
import { ADMINISTRATIVE_ACTION, SHUTDOWN, USE_ANOTHER_SERVER } from './drain-order.ts';

/** Another node of the cluster, which stays up. */
export interface Refuge {
  name: string;
  /** `cluster.localAddress` of the node */
  address: string;
}

/**
 * The drain of an endpoint of a node that stops. New connections to the others come no faster than the endpoint lets them in there, unless that
 * takes too long.
 * @param others the nodes that stay up
 * @param msMax longest time of the drain, ms
 * @returns the order for so many clients
 */
export function farewellOf(
  { serverReference, maxConnectionPerSecond }: Pick<Endpoint, 'serverReference' | 'maxConnectionPerSecond'>,
  others: readonly Refuge[],
  msMax: number,
): (clients: number) => Drain {
  if (others.length === 0) return () => SHUTDOWN;
  const serverReferences = serverReference === null ? [] : others.map((other) => referenceTo(other, serverReference));
  const reasonCode = serverReferences.length > 0 ? USE_ANOTHER_SERVER : ADMINISTRATIVE_ACTION;
  const rate = maxConnectionPerSecond * others.length;
  return (clients) => ({ ms: Math.min(msMax, Math.ceil((clients / rate) * 1000)), reasonCode, serverReferences });
}

function referenceTo({ name, address }: Refuge, template: string): string {
  return template.replaceAll('${node}', name).replaceAll('${address}', address);
}
