/** Starts and stops the control plane of a node, which answers the requests of the admin API. */

import { steadyNow } from '../kernel/clock.ts';
import { Deadline } from '../kernel/deadline.ts';
import { messageOf } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import { sideBySide } from './changes/lanes.ts';
import { seedStore } from './changes/seed-store.ts';
import type { Clients } from './clients/clients.ts';
import { type ChangeParts, composeChanges } from './compose-changes.ts';
import { composeListening, type ListeningParts } from './compose-listening.ts';
import { composeReport, type ReportParts } from './compose-report.ts';
import type { ControlPlane } from './contract/control-plane.ts';
import type { ControlOptions } from './control-options.ts';
import { SHUTDOWN } from './listening/drain/drain-order.ts';
import { farewellOf } from './listening/drain/farewell.ts';
import type { Driver } from './listening/driver.ts';
import { recommendQueueMigration } from './probe/queue-migration.ts';
import { serveChanges } from './serve-changes.ts';
import { serveReads } from './serve-reads.ts';
import type { DesiredState } from './state/desired-state.ts';

export interface RunningControl {
  control: ControlPlane;
  /** Announces the port of this node's admin API to the other nodes. */
  announceAdmin(port: number): void;
  /** Checks the certificate files of endpoints now. @returns a text for each change */
  reload(): Promise<string[]>;
  /** Drains and ends every thread. @returns true when all threads ended in order within `timeoutMs` */
  stop(timeoutMs: number): Promise<boolean>;
}

/** Longest wait for the first opening of all endpoints; the supervisors keep trying those that are not up. */
const START_TIMEOUT_MS = 30_000;
/** Longest wait of a start for the users; the node continues to read them. */
const USERS_TIMEOUT_MS = 15_000;
/** Parts of the time of a stop, in a row: clients leave one after the other, the last of them are gone, their sessions go to other nodes. */
const PARTS = { farewell: 0.5, drained: 0.7, moved: 0.85 };

/**
 * Starts threads and endpoints. Resolves when each endpoint was tried once.
 * @throws FluxError when the store cannot be read or the session worker cannot start; no thread is left behind then
 */
export async function startControl(options: ControlOptions): Promise<RunningControl> {
  const startedAt = steadyNow();
  const listening = composeListening(options);
  const changes = composeChanges(options, listening);
  const report = composeReport(options, listening, changes);
  const stop = (timeoutMs: number) => stopAll(timeoutMs, options.logger, listening, changes, report);
  try {
    const seeded = await startAll(options, listening, changes);
    const startup = { durationMs: Math.round(steadyNow() - startedAt), seeded, endpoints: listening.desired.list().length };
    const { version, store } = options;
    const control: ControlPlane = {
      changes: serveChanges(listening, changes),
      reads: serveReads({ node: options.settings.node.name, access: listening.nodeAccess, version, store, startup }, listening, report),
      cluster: report.nodes,
      clients: changes.everyClient,
      watch: report.hub,
      access: changes.access,
      users: changes.users,
      bans: changes.bans,
      admins: changes.admins,
      keys: changes.keys,
      logins: changes.logins,
      audit: changes.audit,
    };
    const announceAdmin = (port: number) => {
      changes.facts.adminPort = port;
    };
    return { control, announceAdmin, reload: () => listening.certificates.lookNow(), stop };
  } catch (error) {
    await stop(START_TIMEOUT_MS);
    throw error;
  }
}

/** @returns the number of endpoints that were written from the configuration file to an empty store */
async function startAll(
  { settings, logger }: ControlOptions,
  { threads, desired, driver, reconciler, follower, bans, nodeAccess }: ListeningParts,
  { confirmations, keys, audit }: ChangeParts,
): Promise<number> {
  // The session worker starts while the store is read. Endpoint workers start beside it, and are used only when it is up.
  const sessionUp = threads.start();
  sessionUp.catch(() => {});
  await desired.load();
  const away = desired.storeError;
  if (away !== null) logger.error('ConfigSync: started with the last known configuration, because the store is away', { reason: away });
  const seeded =
    away === null
      ? await desired.onNewest(() =>
          seedStore({ desired, node: settings.node.name, logger }, settings.endpoints, settings.areEndpointsGiven),
        )
      : 0;
  if (away === null) await confirmations.undoOverdue();
  // Clients may log in as soon as the endpoints listen.
  if (away === null) await new Deadline(USERS_TIMEOUT_MS).reaches(follower.follow().catch(() => {}));
  await bans.load();
  nodeAccess.load((deadline) => driver.refresh(deadline));
  await Promise.all([sessionUp, startEndpoints(desired, driver), recommendQueueMigration(logger)]);
  reconciler.start();
  follower.start();
  bans.start();
  keys.start();
  audit.start();
  confirmations.start();
  return seeded;
}

/** Starts all enabled endpoints, a few at a time. The supervisors keep failures. Resolves when each endpoint was tried once. */
async function startEndpoints(desired: DesiredState, driver: Driver): Promise<void> {
  const deadline = new Deadline(START_TIMEOUT_MS);
  const enabled = desired.list().filter(({ endpoint }) => endpoint.enabled);
  await sideBySide(enabled, (stored) => driver.start(stored, deadline));
}

async function stopAll(
  timeoutMs: number,
  logger: Logger,
  { access, threads, supervisors, reconciler, certificates, follower, bans, flapping, copy }: ListeningParts,
  { cluster, clients, confirmations, keeper, keys, audit }: ChangeParts,
  { hub, systemTopics, watchdog, monitor }: ReportParts,
): Promise<boolean> {
  const others = cluster?.refuges() ?? [];
  cluster?.close();
  monitor.close();
  watchdog.close();
  systemTopics.close();
  hub.close();
  const deadline = new Deadline(timeoutMs);
  await deadline.reaches(
    Promise.all([
      reconciler.close(),
      flapping?.close(),
      bans.close(),
      keys.close(),
      audit.close(),
      follower.close(),
      confirmations.close(),
      certificates.close(),
      keeper.close(),
    ]),
  );
  const stopped = Promise.all(
    supervisors.all().map(async (supervisor) => {
      const { last } = supervisor;
      const { drained } = await supervisor.stop(last === null ? SHUTDOWN : farewellOf(last.endpoint, others, timeoutMs * PARTS.farewell));
      await drained;
    }),
  );
  await new Deadline(Math.ceil(timeoutMs * PARTS.drained)).reaches(stopped);
  const nodes = threads.relay === null ? [] : others.map(({ name }) => name);
  const movingMs = Math.max(0, deadline.leftMs - timeoutMs * (1 - PARTS.moved));
  if (nodes.length > 0 && threads.hasSession) await moveSessions(clients, nodes, movingMs, logger);
  const inOrder = await threads.stop(deadline.leftMs);
  await access.close();
  copy.close();
  return inOrder;
}

/** Sessions of offline clients go to the nodes that stay up; those that do not in time stay on the disk, where they are durable. */
async function moveSessions(clients: Clients, nodes: string[], timeoutMs: number, logger: Logger): Promise<void> {
  try {
    const { moved, left } = await clients.evacuate(nodes, timeoutMs);
    const level = left > 0 ? 'warn' : 'info';
    if (moved + left > 0) logger[level](`Cluster: ${moved} sessions went to other nodes, ${left} stay on this one`, { moved, left });
  } catch (error) {
    logger.warn('Cluster: the sessions of this node stay on it', { reason: messageOf(error) });
  }
}
