/** Takes the endpoints of a former LOCAL store into the new store of the node, or refuses the start: no endpoint disappears silently. */

import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Endpoint } from '../endpoint/endpoint.ts';
import { FluxError, messageOf } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { NodeStore } from './documents/document-store.ts';
import { takeDocuments } from './documents/take-documents.ts';
import { type ChangeMeta, type StoreSnapshot, WHOLE } from './endpoint-store.ts';
import type { UnavailableData } from './failure-reason.ts';
import { configFileIn, configSetAside, setConfigAside } from './local/data-files.ts';
import { openLocalStore } from './local/local-store.ts';
import { sealStore } from './sealed/sealed-store.ts';
import type { Sealer } from './sealed/sealer.ts';

export interface TakeOptions {
  /** the node's folder; the caller holds its lock */
  dataPath: string;
  /** seals both stores: secrets in clear in the file are sealed when they are taken */
  sealer: Sealer;
  /** name of this node, for the history */
  node: string;
  /** names the new store, for messages */
  into: string;
  /** true: the file is moved aside unread */
  isDiscarding: boolean;
  logger: Logger;
}

/** How many endpoints one message names. */
const NAMES_MAX = 20;

/**
 * Takes the endpoints of `config.db` into an empty store, as its first revision, and moves the file aside. Also moves the file aside when
 * the store has all of the endpoints already. After a crash in between, the next start finds its own commit in the history. When
 * several nodes start, the first one fills the store.
 * @param store just opened, without its seal
 * @throws FluxError `unavailable`, lasting, when the store has other endpoints, or when a change in the file waits for its confirmation;
 *   `unprocessable` when secrets cannot be read; the errors of the stores, after which nothing was written or the next start finds it
 */
export async function takeLocal(store: NodeStore, options: TakeOptions): Promise<void> {
  const { dataPath, sealer, into, isDiscarding, logger } = options;
  const path = configFileIn(dataPath);
  if (path === null) return;
  if (isDiscarding) {
    logger.warn(`The endpoints of the LOCAL store are not used: ${path} was moved to ${setConfigAside(dataPath, 'discarded')}`);
    return;
  }
  const file = await openLocalStore({ dataPath, isLocked: true });
  let taken: number | null;
  try {
    taken = await take(sealStore(file, sealer), sealStore(store, sealer), path, options);
    const users = taken === null ? 'none' : await takeDocuments(file.documents, store.documents, options.node);
    if (users === 'refused')
      logger.warn(
        `The users of the LOCAL store were not taken: ${into} has users already. They stay in the documents.db that was moved aside`,
      );
  } finally {
    await file.close();
  }
  if (taken === null) return;
  const isCluster = into === 'the cluster';
  if (taken > 0)
    logger.info(
      `${isCluster ? 'Cluster' : 'Store'}: ${taken} endpoint${taken === 1 ? '' : 's'} of the LOCAL store were taken into ${into}`,
    );
  try {
    logger.info(`${path} was moved to ${setConfigAside(dataPath, 'taken')}: its endpoints are in ${into}`);
  } catch (error) {
    // The next start recognizes its own commit.
    logger.warn(`${path}, whose endpoints are in ${into}, could not be moved aside`, { reason: messageOf(error) });
  }
}

/** When the LOCAL store is empty, warns where the former endpoints of the node are. */
export async function warnOfTaken(store: NodeStore, dataPath: string, logger: Logger): Promise<void> {
  const path = configSetAside(dataPath);
  if (path === null || (await store.load()).revision > 0) return;
  logger.warn(
    `The LOCAL store is empty, because this node had a cluster or database in between: its former endpoints are in ${path}, later changes are in that cluster or database. The node starts with the endpoints of the configuration file. To bring the newest ones here: ./fluxmq export on a node of the cluster, ./fluxmq import here. To use the former ones: stop the node, and rename that file to config.db`,
  );
}

/** @returns how many endpoints were written now; null when the file has never held any */
async function take(file: NodeStore, store: NodeStore, path: string, { node, into }: TakeOptions): Promise<number | null> {
  const local = await file.load();
  if (local.revision === 0) return null;
  if (local.pending.length > 0) {
    const revisions = local.pending.map(({ revision }) => revision).join(', ');
    throw refusal(
      `${path} cannot be taken into ${into}: its revision ${revisions} waits for a confirmation. Start the node with its former configuration, and confirm the change or wait until it is undone`,
    );
  }
  const requestId = await identityOf(file, local);
  const changes = local.endpoints.map(({ endpoint }) => ({ kind: 'put' as const, endpoint }));
  const reason = `taken from the LOCAL store of node ${node}`;
  const meta: ChangeMeta = { action: 'import', actor: 'system', source: 'import', node, requestId, reason };
  let shared = await store.load();
  if (shared.revision === 0 && changes.length > 0) {
    try {
      await store.commit(changes, { [WHOLE]: 0 }, meta);
      return changes.length;
    } catch (error) {
      if (!(error instanceof FluxError) || error.kind !== 'revision-mismatch') throw error;
      // Another node filled the store first.
      shared = await store.load();
    }
  }
  const missing = missingIn(shared, local);
  if (missing.length > 0 && !(await hasFirst(store, requestId))) throw refusal(tellApart(path, into, missing, shared));
  return 0;
}

/** A request id that is the same for the same state of the same file only. It reveals no secret. */
async function identityOf(file: NodeStore, { revision, endpoints }: StoreSnapshot): Promise<string> {
  const newest = await file.history({ limit: 1 });
  const parts = [
    revision,
    newest.map((row) => [row.id, row.at, row.node, row.requestId]),
    endpoints.map((stored) => [stored.endpoint.id, stored.endpoint.port, stored.revision]),
  ];
  return `take-local-${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)}`;
}

/** Whether the first revision of the store was taken from this very file. A take-over always makes the first revision. */
async function hasFirst(store: NodeStore, requestId: string): Promise<boolean> {
  const first = await store.history({ limit: 1, before: 2 });
  return first.some((row) => row.requestId === requestId);
}

/** Endpoints of the file that the store lacks or has with other settings. Compares by port, because each node generates its own ids. */
function missingIn(shared: StoreSnapshot, local: StoreSnapshot): { port: number; isThere: boolean }[] {
  const byPort = new Map(shared.endpoints.map(({ endpoint }) => [endpoint.port, endpoint]));
  return local.endpoints.flatMap(({ endpoint }) => {
    const other = byPort.get(endpoint.port);
    const isSame = other !== undefined && isDeepStrictEqual(plain(other), plain(endpoint));
    return isSame ? [] : [{ port: endpoint.port, isThere: other !== undefined }];
  });
}

/** The form in which every store would write the endpoint, without its id. */
function plain(endpoint: Endpoint): unknown {
  return JSON.parse(JSON.stringify({ ...endpoint, id: '' }));
}

function tellApart(path: string, into: string, missing: { port: number; isThere: boolean }[], shared: StoreSnapshot): string {
  const list = (ports: string[]): string =>
    `${ports.slice(0, NAMES_MAX).join(', ')}${ports.length > NAMES_MAX ? ` and ${ports.length - NAMES_MAX} more` : ''}`;
  const here = list(missing.map(({ port, isThere }) => `${port} (${isThere ? 'other settings there' : 'not there'})`));
  const there = shared.endpoints.length === 0 ? 'none' : list(shared.endpoints.map(({ endpoint }) => String(endpoint.port)));
  return [
    `${path} holds endpoints of this node that ${into} does not have: ${here}; ${into} has: ${there}. Nothing was changed.`,
    `To use those of ${into}: ./fluxmq start --discard-local, which keeps the file under another name.`,
    'To keep the endpoints of this node: start the node with its former configuration, ./fluxmq export > FILE, then ./fluxmq start --discard-local with the new one, and ./fluxmq import FILE',
  ].join(' ');
}

/** A lasting error: waiting does not help, an operator has to decide. */
function refusal(message: string): FluxError {
  return new FluxError('unavailable', message, { data: { reason: 'differs', outcome: 'nothing-written' } satisfies UnavailableData });
}
