/** Operations of the API over a bus: not `watch`, which has no end, nor backup and restore, whose files outgrow a message. */

/** `read` takes parameters; `ask` has a body and changes no endpoint; `change` has a body and makes a revision. */
type Kind = 'read' | 'ask' | 'change';

/** Each name is the route `/api/endpoints/<name>`, `/api/<name>` for those about clients, or `/api/users/<name>`, as for bans, admins, keys, auth and acl. A new key comes over HTTP alone. */
export const BUS_OPERATIONS = {
  add: 'change',
  update: 'change',
  remove: 'change',
  enable: 'change',
  disable: 'change',
  rollback: 'change',
  import: 'change',
  confirm: 'ask',
  plan: 'ask',
  'validate-config': 'ask',
  list: 'read',
  get: 'read',
  status: 'read',
  metrics: 'read',
  history: 'read',
  export: 'read',
  'check-port': 'read',
  health: 'read',
  clients: 'read',
  check: 'ask',
  close: 'ask',
  users: 'read',
  'users-get': 'read',
  'users-history': 'read',
  'users-add': 'change',
  'users-update': 'change',
  'users-remove': 'change',
  'users-import': 'change',
  'users-rollback': 'change',
  auth: 'read',
  'auth-history': 'read',
  'auth-update': 'change',
  'auth-rollback': 'change',
  'auth-remove': 'change',
  acl: 'read',
  'acl-history': 'read',
  'acl-update': 'change',
  'acl-rollback': 'change',
  'acl-remove': 'change',
  bans: 'read',
  'bans-add': 'change',
  'bans-remove': 'change',
  admins: 'read',
  'admins-add': 'change',
  'admins-update': 'change',
  'admins-remove': 'change',
  audit: 'read',
  keys: 'read',
  'keys-remove': 'change',
} as const satisfies Record<string, Kind>;

const ABOUT_CLIENTS: ReadonlySet<string> = new Set(['clients', 'check', 'close']);

/** The route of an operation. */
export const pathOf = (name: string): string => {
  if (/^(?:users|bans|admins|keys|audit|auth|acl)\b/.test(name)) return `/api/${name.replace('-', '/')}`;
  return ABOUT_CLIENTS.has(name) ? `/api/${name}` : `/api/endpoints/${name}`;
};

/** Returns undefined for an unknown name. */
export function kindOf(name: string): Kind | undefined {
  return Object.hasOwn(BUS_OPERATIONS, name) ? BUS_OPERATIONS[name as keyof typeof BUS_OPERATIONS] : undefined;
}
