/** The needs of the control plane from its node. */

import type { Bus } from '../bus/bus.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Settings } from '../settings/settings.ts';
import type { NodeStore } from '../storage/documents/document-store.ts';
import type { Sealer } from '../storage/sealed/sealer.ts';
import type { LinesLost } from './log/log.ts';

/** Built files of the threads. */
export interface WorkerUrls {
  endpoint: URL;
  session: URL;
  relay: URL;
  access: URL;
  /** the task that puts a login to an authenticator */
  asking: URL;
}

export interface ControlOptions {
  settings: Settings;
  version: string;
  store: NodeStore;
  /** null: a single node */
  bus: Bus | null;
  /** seals secrets in files that leave the node */
  sealer: Sealer;
  /** other processes may write to the store */
  isStoreShared: boolean;
  workerUrls: WorkerUrls;
  logger: Logger;
  /** lost log lines since the start */
  linesLost: () => LinesLost;
}
