/** Opens the store that the settings name. */

import type { EndpointStore } from './contract.ts';
import { openLocalStore } from './local/local-store.ts';
import { openMemoryStore } from './memory/memory-store.ts';

/** What of the settings a store needs; `Settings['store']` fits. */
export interface StoreSettings {
  storeType: 'LOCAL' | 'MEMORY';
  local: { dataPath: string };
}

/** Opens the store. @throws FluxError `unavailable` when its folder cannot be used or belongs to a running broker */
export async function openStore(settings: StoreSettings): Promise<EndpointStore> {
  return settings.storeType === 'MEMORY' ? openMemoryStore() : openLocalStore({ dataPath: settings.local.dataPath });
}
