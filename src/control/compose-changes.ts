/** Second part of the control plane: the parts that change the configuration, here and on the other nodes. */

import type { Bus } from '../bus/bus.ts';
import { ADMIN_KIND, ADMINS_MAX, type Administrator, API_KEY_KIND, API_KEYS_MAX, type ApiKey } from '../endpoint/admins/admin.ts';
import { AccessChanges } from './access/access-changes.ts';
import { StoredLogins } from './admins/admin-logins.ts';
import { Administrators } from './admins/administrators.ts';
import { ApiKeys } from './admins/api-keys.ts';
import { NamedDocuments } from './admins/named-documents.ts';
import { Audit } from './audit/audit.ts';
import { Bans } from './bans/bans.ts';
import { ChangeRunner } from './changes/change-runner.ts';
import { Confirmations } from './changes/confirmations.ts';
import { Rollback } from './changes/rollback.ts';
import { SingleChanges } from './changes/single-changes.ts';
import { ALONE } from './changes/spreader.ts';
import { Clients } from './clients/clients.ts';
import { ClientsEverywhere } from './cluster/clients/everywhere.ts';
import { Cluster } from './cluster/cluster.ts';
import { OwnFacts } from './cluster/own-facts.ts';
import type { NodeAnswer } from './cluster/questions.ts';
import type { ListeningParts } from './compose-listening.ts';
import type { NodeOutcome } from './contract/answers.ts';
import type { ControlOptions } from './control-options.ts';
import { DocumentChanges } from './documents/document-changes.ts';
import { HistoryKeeper } from './state/history-keeper.ts';
import { Transfer } from './transfer/transfer.ts';
import { Users } from './users/users.ts';

export interface ChangeParts {
  facts: OwnFacts;
  /** null: a single node */
  cluster: Cluster | null;
  single: SingleChanges;
  rollback: Rollback;
  transfer: Transfer;
  confirmations: Confirmations;
  keeper: HistoryKeeper;
  access: AccessChanges;
  /** clients of this node */
  clients: Clients;
  everyClient: ClientsEverywhere;
  users: Users;
  bans: Bans;
  admins: Administrators;
  keys: ApiKeys;
  logins: StoredLogins;
  audit: Audit;
}

export function composeChanges(options: ControlOptions, listening: ListeningParts): ChangeParts {
  const { settings, version, store, sealer, logger } = options;
  const { desired, supervisors, driver, reconciler } = listening;
  const node = settings.node.name;
  const { threads, incarnation } = listening;
  const carriesMessages = threads.relay !== null;
  const address = settings.cluster.localAddress;
  const facts = new OwnFacts({ node, version, incarnation, carriesMessages, address, desired, supervisors, reconciler });
  const cluster = options.bus === null ? null : joinCluster(options, options.bus, facts, listening);
  const { relay } = threads;
  if (relay !== null) cluster?.relayed.subscribe((nodes) => relay.setNodes(nodes));
  const changes = new ChangeRunner({
    desired,
    supervisors,
    driver,
    spreader: cluster ?? ALONE,
    spreadTimeoutMs: settings.cluster.sync.timeout,
    node,
    logger,
    onUnapplied: () => reconciler.wake(),
  });
  const keepsSecretsInClear = sealer.keyId === null && settings.store.storeType !== 'MEMORY';
  const transfer = new Transfer({ desired, supervisors, changes, sealer, keepsSecretsInClear, node });
  const documents = new DocumentChanges({
    store: store.documents,
    learn: async () => {
      await listening.follower.follow();
      await Promise.all([listening.bans.obeyed(), listening.nodeAccess.obeyed()]);
    },
    node,
    spread: async (revision, waitMs) => (cluster === null ? [] : learned(await cluster.askAll('documents', { revision }, waitMs))),
  });
  const { copy, follower } = listening;
  const clients = new Clients(threads, node);
  const everyClient = new ClientsEverywhere({ node, own: clients, cluster });
  const administrators = new NamedDocuments<Administrator>(ADMIN_KIND, ADMINS_MAX, copy, sealer);
  const storedKeys = new NamedDocuments<ApiKey>(API_KEY_KIND, API_KEYS_MAX, copy, sealer);
  const keys = new ApiKeys({ stored: storedKeys, store: store.documents, follower, documents, node });
  return {
    facts,
    cluster,
    single: new SingleChanges({ desired, supervisors, driver, changes, keepsSecretsInClear }),
    rollback: new Rollback({ desired, supervisors, changes, keepsSecretsInClear }),
    transfer,
    confirmations: new Confirmations({ desired, changes, logger }),
    access: new AccessChanges({
      access: listening.nodeAccess,
      store: store.documents,
      documents,
      endpointsWithout: (part) =>
        desired.list().filter(({ endpoint }) => endpoint.enabled && endpoint[part === 'auth' ? 'authConfig' : 'aclConfig'] === null).length,
    }),
    clients,
    everyClient,
    users: new Users({ store: store.documents, directory: listening.directory, follower, documents, clients: everyClient, node, logger }),
    admins: new Administrators({ stored: administrators, documents, http: settings.http }),
    keys,
    logins: new StoredLogins(administrators, keys),
    audit: new Audit({ store: store.documents, copy, follower, keepDays: settings.audit.keepDays, node, logger }),
    bans: new Bans({ copy: listening.copy, keeper: listening.bans, documents }),
    keeper: new HistoryKeeper({ store, desired, limits: settings.history, isRead: () => transfer.isReading, logger }),
  };
}

/** What became of a change of documents on the other nodes. */
function learned(answers: NodeAnswer[]): NodeOutcome[] {
  return answers.map(({ node, reason }) => ({ node, state: reason === null ? 'applied' : 'pending', reason }));
}

function joinCluster({ settings, logger }: ControlOptions, bus: Bus, facts: OwnFacts, listening: ListeningParts): Cluster {
  const { name, sync } = settings.cluster;
  const { desired, supervisors, reconciler, threads } = listening;
  const thread = threads.relay;
  const relay = thread === null ? null : () => thread.report;
  const { retryCount } = sync;
  return new Cluster({ facts, desired, supervisors, reconciler, bus, name, retryCount, node: settings.node.name, logger, relay });
}
