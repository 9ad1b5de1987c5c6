/** The requests that the admin API makes to the node, as eleven interfaces. A route takes only the interfaces that it calls. */

import type { AdminLogins, AdminRequests, KeyRequests } from './admin-requests.ts';
import type { AuditRequests } from './audit-requests.ts';
import type { BanRequests } from './ban-requests.ts';
import type { ChangeRequests } from './change-requests.ts';
import type { ClientRequests } from './client-requests.ts';
import type { ClusterReads } from './cluster-reads.ts';
import type { EventWatch } from './event-watch.ts';
import type { NodeReads } from './node-reads.ts';
import type { UserRequests } from './user-requests.ts';

export interface ControlPlane {
  readonly changes: ChangeRequests;
  readonly reads: NodeReads;
  readonly cluster: ClusterReads;
  readonly clients: ClientRequests;
  readonly watch: EventWatch;
  readonly users: UserRequests;
  readonly bans: BanRequests;
  readonly admins: AdminRequests;
  readonly keys: KeyRequests;
  readonly logins: AdminLogins;
  readonly audit: AuditRequests;
}
