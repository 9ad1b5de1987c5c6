/** Lets a FluxMQ 2.1 config.yaml start: its `mqtt:` list, its single-node `cluster:`, and sections without effect here, each with a warning. */

import { isObject } from '../endpoint/problems.ts';
import type { Issue } from '../kernel/errors.ts';

/** Sections about FluxMQ's internals: no part of our configuration, and without effect. */
const WITHOUT_EFFECT = ['allowEmptyMessage', 'pool', 'meter', 'eventbus', 'shareSubscribe', 'application', 'retry', 'es'];

/** Keys of an `mqtt:` entry that need no switch here: metrics are always on, rules apply at once. */
const ENDPOINT_WITHOUT_EFFECT = ['metrics', 'aclRefreshPeriod'];

const ENDPOINT_RENAMED: Record<string, string> = { ssl: 'sslConfig', options: 'serverOptions' };

export interface Translated {
  value: Record<string, unknown>;
  warnings: string[];
  issues: Issue[];
  /** the user's name of the list of endpoints, for the paths of problems */
  endpointsKey: 'endpoints' | 'mqtt';
}

/** Translates FluxMQ's spelling into ours. `input` stays unchanged. */
export function translateFluxmq(input: Record<string, unknown>): Translated {
  const value = { ...input };
  const warnings: string[] = [];
  const issues: Issue[] = [];
  for (const key of WITHOUT_EFFECT) {
    if (!Object.hasOwn(value, key)) continue;
    delete value[key];
    warnings.push(`${key}: this section of FluxMQ has no effect here`);
  }
  if (Object.hasOwn(value, 'allowAnonymousAccess')) {
    delete value['allowAnonymousAccess'];
    warnings.push('allowAnonymousAccess: has no effect here; whether a client must log in is said by enableAuth of each endpoint');
  }
  if (isOwnCluster(value['cluster'])) {
    delete value['cluster'];
    warnings.push('cluster: it names no other node, so this one runs alone');
  }
  const endpointsKey = Object.hasOwn(value, 'mqtt') ? 'mqtt' : 'endpoints';
  if (endpointsKey === 'mqtt') {
    const list = value['mqtt'];
    if (Object.hasOwn(value, 'endpoints')) issues.push({ path: 'mqtt', message: 'is another name of endpoints: give one of them' });
    else value['endpoints'] = Array.isArray(list) ? list.map((entry, index) => translateEndpoint(entry, `mqtt[${index}]`, warnings)) : list;
    delete value['mqtt'];
  }
  return { value, warnings, issues, endpointsKey };
}

/** FluxMQ's own single-node form: `{localAddress: 127.0.0.1, addresses: ["127.0.0.1"]}`, each of them a host without a port. */
function isOwnCluster(cluster: unknown): boolean {
  if (!isObject(cluster)) return false;
  const { localAddress, addresses, ...rest } = cluster;
  if (Object.keys(rest).length > 0 || typeof localAddress !== 'string' || !Array.isArray(addresses)) return false;
  return addresses.every((address) => address === localAddress);
}

function translateEndpoint(entry: unknown, path: string, warnings: string[]): unknown {
  if (!isObject(entry)) return entry;
  const given: [string, unknown][] = [];
  for (const [key, value] of Object.entries(entry)) {
    if (ENDPOINT_WITHOUT_EFFECT.includes(key)) warnings.push(`${path}.${key}: has no effect here`);
    // the switch of FluxMQ's rule engine, on by default; without a bridgeConfig there is nothing to bridge
    else if (key === 'enableBridge' && value === true && entry['bridgeConfig'] === undefined) {
      warnings.push(`${path}.enableBridge: has no effect here without bridgeConfig`);
    } else given.push([Object.hasOwn(ENDPOINT_RENAMED, key) && !(ENDPOINT_RENAMED[key]! in entry) ? ENDPOINT_RENAMED[key]! : key, value]);
  }
  return Object.fromEntries(given);
}
