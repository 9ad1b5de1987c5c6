/** Opens the store that the settings name. */

import type { BusSettings } from '../bus/settings.ts';
import type { DatabaseLogin } from '../kernel/database-url.ts';
import type { EndpointStore } from './contract.ts';
import { openJetStreamStore } from './jetstream/jetstream-store.ts';
import { openLocalStore } from './local/local-store.ts';
import { openMemoryStore } from './memory/memory-store.ts';
import { openMysqlStore } from './mysql/mysql-store.ts';
import { openPostgresStore } from './postgres/postgres-store.ts';
import { refill } from './refilling-store.ts';
import { openRemembering } from './remembering-store.ts';

/** What of the settings a store needs; `Settings['store']` fits. */
export type StoreSettings =
  | { storeType: 'LOCAL' | 'MEMORY'; local: { dataPath: string } }
  | { storeType: 'POSTGRESQL' | 'MYSQL'; local: { dataPath: string }; datasource: DatabaseLogin & { maxPoolSize: number } };

export interface OpenOptions {
  /** NATS, in a cluster: LOCAL and MEMORY then mean a bucket that all nodes share; null: a single node */
  bus: BusSettings | null;
  /** shown in the server's list of connections */
  name: string;
  /** of this process, for the history */
  node: string;
  /** told when what is known of a database cannot be written beside the node */
  onFailure: (reason: string) => void;
}

/** Servers and nodes of a cluster are often started together. */
const BUCKET_WAIT_MS = 20_000;

/**
 * Opens the store. The tables of a database are made or migrated; what is known of it is kept in the data folder, for a start without it.
 * @throws FluxError `unavailable` when the folder cannot be used or belongs to a running broker, when a database is away and nothing is
 *   known of it, or cannot be used as it is (login, rights, TLS, newer tables: see `isLasting`)
 */
export async function openStore(settings: StoreSettings, { bus, name, node, onFailure }: OpenOptions): Promise<EndpointStore> {
  const { dataPath } = settings.local;
  if (!('datasource' in settings) && bus !== null) {
    if (settings.storeType === 'MEMORY') return refill(await openJetStreamStore(bus, name, 'memory', BUCKET_WAIT_MS), node);
    return openRemembering({ open: () => openJetStreamStore(bus, name, 'file', BUCKET_WAIT_MS), dataPath, source: 'JetStream', onFailure });
  }
  if (!('datasource' in settings)) return settings.storeType === 'MEMORY' ? openMemoryStore() : openLocalStore({ dataPath });
  const { storeType, datasource } = settings;
  const open = () => (storeType === 'POSTGRESQL' ? openPostgresStore(datasource) : openMysqlStore(datasource));
  const { host, port, database, schema } = datasource;
  return openRemembering({
    open,
    dataPath,
    source: `${storeType} ${host}:${port}/${database}${schema === null ? '' : `/${schema}`}`,
    onFailure,
  });
}
