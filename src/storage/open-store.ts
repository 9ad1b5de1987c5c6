/** Opens the store that the settings name. A client library is loaded only by a node that uses it, because loading it slows the start. */

import type { BusSettings } from '../bus/settings.ts';
import { FluxError } from '../kernel/errors.ts';
import type { DatabaseLogin } from '../kernel/input/database-url.ts';
import type { Logger } from '../kernel/logger.ts';
import type { NodeStore } from './documents/document-store.ts';
import { openLocalStore } from './local/local-store.ts';
import { openMemoryStore } from './memory/memory-store.ts';
import { refill } from './refilling-store.ts';
import { openRemembering } from './remembering-store.ts';
import type { Sealer } from './sealed/sealer.ts';
import { takeLocal, warnOfTaken } from './take-local.ts';

/** The settings that a store needs; `Settings['store']` fits. */
export type StoreSettings =
  | { storeType: 'LOCAL' | 'MEMORY'; local: { dataPath: string } }
  | { storeType: 'POSTGRESQL' | 'MYSQL'; local: { dataPath: string }; datasource: DatabaseLogin & { maxPoolSize: number } };

export interface OpenOptions {
  /** NATS, in a cluster: LOCAL and MEMORY then mean a bucket that all nodes share; null: a single node */
  bus: BusSettings | null;
  /** shown in the server's list of connections */
  name: string;
  /** name of this node, for the history */
  node: string;
  /** called with the reason when the last known content of a database cannot be written to the data folder */
  onFailure: (reason: string) => void;
  /** for the endpoints that the node had while its store was LOCAL and the node was alone; absent: they stay where they are */
  former?: { sealer: Sealer; logger: Logger; isDiscarding: boolean };
}

/** How long the NATS servers may take to come up: servers and nodes of a cluster are often started together. */
const BUCKET_WAIT_MS = 20_000;
const NOTHING_TO_DISCARD =
  '--discard-local is for a node with a database, or with cluster: and the store LOCAL; this one has no former store';

/**
 * Opens the store. Creates or migrates the tables of a database. The data folder keeps the last known content, for a start without the
 * store.
 * @throws FluxError `unavailable` when the folder cannot be used or belongs to a running broker, when a database is away and no content of
 *   it is known, or when it cannot be used as it is (login, rights, TLS, newer tables, other endpoints in config.db: see `isLasting`);
 *   `invalid` when `former` asks to discard the store itself
 */
export async function openStore(settings: StoreSettings, options: OpenOptions): Promise<NodeStore> {
  const { bus, name, node, onFailure, former } = options;
  const { dataPath } = settings.local;
  const isElsewhere = 'datasource' in settings || (bus !== null && settings.storeType === 'LOCAL');
  if (former?.isDiscarding === true && !isElsewhere) throw new FluxError('invalid', NOTHING_TO_DISCARD);
  if (!isElsewhere && settings.storeType === 'MEMORY') {
    return bus === null ? openMemoryStore() : refill(await openBucket(bus, name, 'memory'), node);
  }
  if (!isElsewhere) {
    const store = await openLocalStore({ dataPath });
    if (former !== undefined) await warnOfTaken(store, dataPath, former.logger);
    return store;
  }
  const { open, source } = elsewhere(settings, options);
  const into = bus === null ? source : 'the cluster';
  const openAndTake = async (): Promise<NodeStore> => {
    const store = await open();
    if (former === undefined) return store;
    try {
      await takeLocal(store, { dataPath, node, into, ...former });
      return store;
    } catch (error) {
      await store.close();
      throw error;
    }
  };
  return openRemembering({ open: openAndTake, dataPath, source, onFailure });
}

/** How to open a store on other machines, and its name. */
function elsewhere(settings: StoreSettings, { bus, name }: OpenOptions): { open: () => Promise<NodeStore>; source: string } {
  if (!('datasource' in settings)) {
    if (bus === null) throw new Error('the store LOCAL in JetStream needs the bus of a cluster');
    return { open: () => openBucket(bus, name, 'file'), source: 'JetStream' };
  }
  const { storeType, datasource } = settings;
  const { host, port, database, schema } = datasource;
  return {
    open: async () => {
      if (storeType === 'POSTGRESQL') return (await import('./postgres/postgres-store.ts')).openPostgresStore(datasource);
      return (await import('./mysql/mysql-store.ts')).openMysqlStore(datasource);
    },
    source: `${storeType} ${host}:${port}/${database}${schema === null ? '' : `/${schema}`}`,
  };
}

async function openBucket(bus: BusSettings, name: string, storage: 'file' | 'memory'): Promise<NodeStore> {
  const { openJetStreamStore } = await import('./jetstream/jetstream-store.ts');
  return openJetStreamStore(bus, name, storage, BUCKET_WAIT_MS);
}
