/** A whole node in this process: opens store, bus, control plane and admin API in this order, and closes bus and store last. */

import { BUS_OPERATIONS } from './admin/bus/operations.ts';
import { type AdminPort, type AdminServer, openAdmin, tryAdmin } from './admin/server.ts';
import type { Bus, Serving } from './bus/bus.ts';
import { subjectsOf } from './bus/subjects.ts';
import type { ControlPlane } from './control/contract/control-plane.ts';
import type { WorkerUrls } from './control/control-options.ts';
import type { LinesLost } from './control/log/log.ts';
import { startControl } from './control/start-control.ts';
import { testNode } from './internals/self-test.ts';
import type { Logger } from './kernel/logger.ts';
import type { Settings } from './settings/settings.ts';
import { checkDataFiles, markDataFiles } from './storage/local/data-files.ts';
import { openStore } from './storage/open-store.ts';
import { sealStore } from './storage/sealed/sealed-store.ts';
import { Sealer } from './storage/sealed/sealer.ts';

export interface NodeOptions {
  settings: Settings;
  version: string;
  logger: Logger;
  workerUrls: WorkerUrls;
  /** folder of the admin API's static files */
  adminStatic: URL;
  /** log lines lost since the start */
  linesLost: () => LinesLost;
  /** damaged files of the data folder are moved aside; absent: they prevent the start */
  isQuarantine?: boolean;
  /** endpoints of a former LOCAL store are moved aside; absent: the store takes them, or they prevent the start */
  isDiscarding?: boolean;
}

export interface RunningNode {
  control: ControlPlane;
  adminPort: number;
  /** Stops accepting, drains, flushes; within `settings.shutdownTimeout`. @returns true when every thread ended in order. Idempotent. */
  stop(): Promise<boolean>;
  /** Checks the certificate files now. @returns one text for each change; none while the node stops */
  reload(): Promise<string[]>;
}

/** Part of the shutdown time that is kept for closing the store and the log. */
const CLOSE_RESERVE_MS = 1_000;
/** A start that takes longer opens the admin API's port, so that probes and people learn that the node is starting. */
const QUIET_START_MS = 10_000;
/** Time for requests over NATS to finish during a shutdown, the same as for requests over HTTP. */
const ANSWER_RESERVE_MS = 3_000;

/**
 * Starts a node. Resolves when the admin API and every endpoint that can listen are listening.
 * @throws FluxError when the store, the session worker or the admin API cannot be opened, or when this Node cannot run the broker. Nothing
 *   is left running then. When this Node, or the admin API's port or certificate, is the cause, nothing has been written either
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { settings, version, logger, workerUrls, adminStatic, linesLost } = options;
  const { lacking, websocketTransports } = testNode();
  for (const { piece, instead } of lacking) logger.warn(`Node ${process.version} lacks ${piece}: ${instead}`);
  if (websocketTransports.uws !== true) {
    logger.warn(`uWebSockets.js does not serve here: ${websocketTransports.uws}; the built-in transport serves WebSocket endpoints`);
  }
  await tryAdmin(options);
  const { dataPath } = settings.store.local;
  const isOnDisk = settings.store.storeType !== 'MEMORY';
  if (isOnDisk) for (const text of checkDataFiles(dataPath, options.isQuarantine ?? false)) logger.error(text);
  const connectionName = `fluxmq ${settings.node.name}`;
  const sealer = new Sealer(settings.secrets);
  const store = sealStore(
    await openStore(settings.store, {
      bus: settings.cluster.bus,
      name: connectionName,
      node: settings.node.name,
      onFailure: (reason) => logger.warn(reason),
      former: { sealer, logger, isDiscarding: options.isDiscarding ?? false },
    }),
    sealer,
  );
  const bus =
    settings.cluster.bus === null
      ? null
      : (await import('./bus/nats/nats-bus.ts')).openNatsBus(settings.cluster.bus, connectionName, logger);
  const undo: (() => Promise<unknown>)[] = [async () => bus?.close(), () => store.close()];
  const threadsMs = Math.max(CLOSE_RESERVE_MS, settings.shutdownTimeout - CLOSE_RESERVE_MS);
  try {
    const isStoreShared = bus !== null || !['LOCAL', 'MEMORY'].includes(settings.store.storeType);
    const early = openLater(options);
    undo.unshift(() => early.close());
    const running = await startControl({ settings, version, store, bus, sealer, isStoreShared, workerUrls, logger, linesLost });
    const { control, stop: stopControl } = running;
    undo.unshift(() => stopControl(threadsMs));
    const admin = (await early.open()).serve({ settings, control, logger, staticRoot: adminStatic });
    running.announceAdmin(admin.port);
    if (isOnDisk) markDataFiles(dataPath);
    const automation = bus === null ? null : serveOperations(bus, admin, options);
    let stopping: Promise<boolean> | null = null;
    const stop = async () => {
      // Running requests may still be answered while the clients are drained.
      const [inOrder] = await Promise.all([stopControl(threadsMs), admin.close(), automation?.close(ANSWER_RESERVE_MS)]);
      await bus?.close();
      await store.close();
      return inOrder;
    };
    return {
      control,
      adminPort: admin.port,
      stop: () => {
        stopping ??= stop();
        return stopping;
      },
      reload: async () => (stopping === null ? [...(await admin.reload()), ...(await running.reload())] : []),
    };
  } catch (error) {
    for (const step of undo) await step();
    throw error;
  }
}

/** Opens the admin API's port after QUIET_START_MS, or when the node is up. */
function openLater(place: NodeOptions): { open(): Promise<AdminPort>; close(): Promise<void> } {
  let port: Promise<AdminPort> | null = null;
  const open = () => {
    clearTimeout(timer);
    port ??= openAdmin(place);
    return port;
  };
  const timer = setTimeout(() => {
    // The start itself reports the failure.
    open().then(
      () => place.logger.info('The start takes long: until it ends, the admin API answers 503 starting'),
      () => {},
    );
  }, QUIET_START_MS);
  return {
    open,
    async close() {
      clearTimeout(timer);
      await port?.then(
        (opened) => opened.close(),
        () => {},
      );
    },
  };
}

/** Serves the operations on endpoints over NATS. It connects the admin API's routes with the bus, which do not know each other. */
function serveOperations(bus: Bus, admin: AdminServer, { settings, version }: NodeOptions): Serving {
  const { name } = settings.cluster;
  return bus.serve({
    name: `${name}-endpoints`,
    version,
    description: `Endpoints of the fluxmq cluster ${name}`,
    metadata: { cluster: name, node: settings.node.name },
    prefix: subjectsOf(name).operations,
    endpoints: Object.keys(BUS_OPERATIONS),
    handle: (request) => admin.answer(request),
  });
}
