/** The requests that the admin API makes to the node, as twelve interfaces. A route takes only the interfaces that it calls. */

import type { AccessRequests } from './access/access-requests.ts';
import type { AdminLogins, AdminRequests, KeyRequests } from './access/admin-requests.ts';
import type { AuditRequests } from './access/audit-requests.ts';
import type { BanRequests } from './access/ban-requests.ts';
import type { UserRequests } from './access/user-requests.ts';
import type { ChangeRequests } from './change-requests.ts';
import type { ClientRequests } from './client-requests.ts';
import type { ClusterReads } from './cluster-reads.ts';
import type { EventWatch } from './event-watch.ts';
import type { NodeReads } from './node-reads.ts';

export interface ControlPlane {
  readonly changes: ChangeRequests;
  readonly reads: NodeReads;
  readonly cluster: ClusterReads;
  readonly clients: ClientRequests;
  readonly watch: EventWatch;
  readonly access: AccessRequests;
  readonly users: UserRequests;
  readonly bans: BanRequests;
  readonly admins: AdminRequests;
  readonly keys: KeyRequests;
  readonly logins: AdminLogins;
  readonly audit: AuditRequests;
}
