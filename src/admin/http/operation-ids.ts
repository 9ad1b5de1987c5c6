/** Short names of the API's operations. Client generators turn them into function names. */

const OPERATION_IDS: Readonly<Record<string, string>> = {
  '/api/endpoints/add': 'addEndpoint',
  '/api/endpoints/update': 'updateEndpoint',
  '/api/endpoints/remove': 'removeEndpoint',
  '/api/endpoints/enable': 'enableEndpoint',
  '/api/endpoints/disable': 'disableEndpoint',
  '/api/endpoints/plan': 'planChange',
  '/api/endpoints/validate-config': 'validateEndpoint',
  '/api/endpoints/list': 'listEndpoints',
  '/api/endpoints/get': 'getEndpoint',
  '/api/endpoints/status': 'getEndpointStatus',
  '/api/endpoints/metrics': 'getEndpointMetrics',
  '/api/endpoints/health': 'probeEndpoint',
  '/api/endpoints/check-port': 'checkPort',
  '/api/endpoints/history': 'getHistory',
  '/api/endpoints/watch': 'watchEndpoints',
  '/api/endpoints/rollback': 'rollback',
  '/api/endpoints/confirm': 'confirmChange',
  '/api/endpoints/export': 'exportEndpoints',
  '/api/endpoints/import': 'importEndpoints',
  '/api/endpoints/backup': 'backup',
  '/api/endpoints/restore': 'restore',
  '/api/cluster/status': 'getClusterStatus',
  '/api/cluster/nodes': 'listNodes',
  '/api/system/health': 'getSystemHealth',
  '/api/system/resources': 'getSystemResources',
  '/api/acl/test': 'testAcl',
  'get /api/users': 'listUsers',
  'post /api/users': 'addUser',
  'put /api/users': 'changeUser',
  'delete /api/users': 'deleteUser',
  '/api/users/get': 'getUser',
  '/api/users/add': 'createUser',
  '/api/users/update': 'updateUser',
  '/api/users/remove': 'removeUser',
  '/api/users/import': 'importUsers',
  '/api/users/export': 'exportUsers',
  '/api/users/history': 'getUserHistory',
  '/api/users/rollback': 'rollbackUsers',
  '/api/publish': 'publish',
  '/api/check': 'findClients',
  '/api/close': 'disconnectClients',
  '/api/clients': 'listClients',
  '/health': 'getHealth',
  '/public/metrics': 'getMetrics',
  '/public/login': 'login',
  '/openapi.json': 'getDescription',
  '/': 'getStartPage',
};

/** Name of the operation on `path`; a path with several methods has one for each. A path that the table lacks gives its own name: `/docs/swagger-ui.css` → `docsSwaggerUiCss`. */
export function operationIdOf(path: string, method: string): string {
  const key = [`${method} ${path}`, path].find((each) => Object.hasOwn(OPERATION_IDS, each));
  const named = key === undefined ? undefined : OPERATION_IDS[key];
  return named ?? path.slice(1).replace(/[^A-Za-z0-9]+(.)?/g, (_match, next: string | undefined) => next?.toUpperCase() ?? '');
}
