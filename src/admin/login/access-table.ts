/** Who may call which route: the one table. A route that it lacks cannot be registered. */

import type { Role } from '../../endpoint/admins/admin.ts';
import { FluxError } from '../../kernel/errors.ts';

/** `public` needs no login; the others need this role or a higher one. */
export type Access = 'public' | Role;

const RANKS: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

const ACCESS = {
  'POST /api/endpoints/add': 'operator',
  'POST /api/endpoints/update': 'operator',
  'POST /api/endpoints/remove': 'operator',
  'POST /api/endpoints/enable': 'operator',
  'POST /api/endpoints/disable': 'operator',
  'POST /api/endpoints/plan': 'operator',
  'POST /api/endpoints/validate-config': 'operator',
  'POST /api/endpoints/rollback': 'operator',
  'POST /api/endpoints/confirm': 'operator',
  'GET /api/endpoints/export': 'viewer',
  'GET /api/endpoints/backup': 'viewer',
  'POST /api/endpoints/import': 'operator',
  'POST /api/endpoints/restore': 'operator',
  'GET /api/endpoints/list': 'viewer',
  'GET /api/endpoints/get': 'viewer',
  'GET /api/endpoints/status': 'viewer',
  'GET /api/endpoints/metrics': 'viewer',
  'GET /api/endpoints/check-port': 'viewer',
  'GET /api/endpoints/health': 'viewer',
  'GET /api/endpoints/history': 'viewer',
  'GET /api/endpoints/watch': 'viewer',
  'POST /api/publish': 'operator',
  'POST /api/check': 'operator',
  'POST /api/close': 'operator',
  'GET /api/clients': 'viewer',
  'POST /api/acl/test': 'operator',
  'GET /api/auth': 'viewer',
  'GET /api/auth/history': 'viewer',
  'PUT /api/auth': 'admin',
  'POST /api/auth/update': 'admin',
  'POST /api/auth/rollback': 'admin',
  'POST /api/auth/remove': 'admin',
  'DELETE /api/auth': 'admin',
  'GET /api/acl': 'viewer',
  'GET /api/acl/history': 'viewer',
  'PUT /api/acl': 'admin',
  'POST /api/acl/update': 'admin',
  'POST /api/acl/rollback': 'admin',
  'POST /api/acl/remove': 'admin',
  'DELETE /api/acl': 'admin',
  'GET /api/users': 'viewer',
  'GET /api/users/get': 'viewer',
  'GET /api/users/export': 'admin',
  'GET /api/users/history': 'viewer',
  'POST /api/users': 'admin',
  'POST /api/users/add': 'admin',
  'PUT /api/users': 'admin',
  'POST /api/users/update': 'admin',
  'POST /api/users/remove': 'admin',
  'DELETE /api/users': 'admin',
  'POST /api/users/import': 'admin',
  'POST /api/users/rollback': 'admin',
  'GET /api/bans': 'viewer',
  'POST /api/bans': 'operator',
  'POST /api/bans/add': 'operator',
  'POST /api/bans/remove': 'operator',
  'DELETE /api/bans': 'operator',
  'GET /api/admins': 'admin',
  'POST /api/admins': 'admin',
  'POST /api/admins/add': 'admin',
  'PUT /api/admins': 'admin',
  'POST /api/admins/update': 'admin',
  'POST /api/admins/remove': 'admin',
  'DELETE /api/admins': 'admin',
  'GET /api/keys': 'admin',
  'POST /api/keys': 'admin',
  'POST /api/keys/remove': 'admin',
  'DELETE /api/keys': 'admin',
  'GET /api/audit': 'admin',
  'GET /health': 'public',
  'GET /api/system/health': 'viewer',
  'GET /api/system/resources': 'viewer',
  'GET /public/metrics': 'public',
  'GET /api/cluster/status': 'viewer',
  'GET /api/cluster/nodes': 'viewer',
  'POST /public/login': 'public',
  'GET /openapi.json': 'viewer',
  'GET /docs': 'viewer',
  'GET /docs/start.js': 'viewer',
  'GET /docs/swagger-ui.css': 'viewer',
  'GET /docs/swagger-ui-bundle.js': 'viewer',
  'GET /docs/favicon-32x32.png': 'viewer',
  'GET /': 'public',
} as const satisfies Record<string, Access>;

/** @throws Error for a route that the table lacks */
export function accessOf({ method, path }: { method: string; path: string }): Access {
  const key = `${method.toUpperCase()} ${path}`;
  if (!Object.hasOwn(ACCESS, key)) throw new Error(`access-table.ts does not name ${key}`);
  return ACCESS[key as keyof typeof ACCESS];
}

/** @throws FluxError `forbidden` */
export function checkRole(access: Access, role: Role): void {
  if (access === 'public' || RANKS[role] >= RANKS[access]) return;
  const what = role === 'viewer' ? 'may only read' : `may not do this: it needs the role ${access}`;
  throw new FluxError('forbidden', `The role ${role} ${what}`);
}
