/** Changes of endpoints of every kind, as requests; what they do is chosen from what is there, and from a seed. */

import { freePort } from '../../kit/free-port.ts';

export interface Endpoint {
  id: string;
  port: number;
  enabled: boolean;
  [key: string]: unknown;
}

export interface Operation {
  path: string;
  body: Record<string, unknown>;
}

/** The state before an operation. */
export interface Scene {
  endpoints: Endpoint[];
  revision: number;
  /** 0 ≤ x < 1 */
  random: () => number;
  /** an identifier that was never used */
  newId: () => string;
}

type Maker = (scene: Scene) => Promise<Operation> | Operation;

const ENDPOINTS_MIN = 3;
const ENDPOINTS_MAX = 7;

async function newEndpoint({ newId }: Scene): Promise<Record<string, unknown>> {
  const id = newId();
  // Most share a thread, so that a start takes little.
  return { host: '127.0.0.1', port: await freePort(), id, enableAuth: false, exclusivePool: id.endsWith('7') };
}

function one({ endpoints, random }: Scene): Endpoint {
  return endpoints[Math.floor(random() * endpoints.length)]!;
}

const number = ({ random }: Scene) => 1 + Math.floor(random() * 10_000);

/** Each kind of change that there is. */
export const MAKERS = {
  add: async (scene) => ({ path: 'add', body: await newEndpoint(scene) }),
  update: (scene) => ({ path: 'update', body: { id: one(scene).id, maxConnectionSize: number(scene) } }),
  rebind: (scene) => ({ path: 'update', body: { id: one(scene).id, serverOptions: { soBacklog: number(scene) } } }),
  move: async (scene) => ({ path: 'update', body: { id: one(scene).id, newPort: await freePort() } }),
  toggle: (scene) => {
    const { id, enabled } = one(scene);
    return { path: enabled ? 'disable' : 'enable', body: { id, force: true } };
  },
  remove: (scene) => ({ path: 'remove', body: { id: one(scene).id, force: true } }),
  /** two rows of one revision: the endpoint that was the default until then is written, too */
  makeDefault: (scene) => {
    const others = scene.endpoints.filter(({ isDefault }) => isDefault !== true);
    return { path: 'update', body: { id: one({ ...scene, endpoints: others }).id, isDefault: true } };
  },
  /** three rows of one revision: two endpoints swap their ports, and a third comes */
  import: async (scene) => {
    const [a, b] = scene.endpoints as [Endpoint, Endpoint];
    const configs = [{ ...a, port: b.port }, { ...b, port: a.port }, await newEndpoint(scene)];
    return { path: 'import', body: { configs, mode: 'merge' } };
  },
  /** takes the last change back, whatever it was */
  rollback: ({ revision }) => ({ path: 'rollback', body: { revision: revision - 1, force: true } }),
} satisfies Record<string, Maker>;

export type OperationName = keyof typeof MAKERS;

export const OPERATIONS = Object.keys(MAKERS) as OperationName[];

/** A change of this kind, or an addition where there is too little to change, or a removal where there is too much. */
export async function makeOperation(name: OperationName, scene: Scene): Promise<Operation> {
  if (scene.endpoints.length < ENDPOINTS_MIN) return MAKERS.add(scene);
  if (name === 'add' && scene.endpoints.length > ENDPOINTS_MAX) return MAKERS.remove(scene);
  return MAKERS[name](scene);
}
