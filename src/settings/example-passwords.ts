/** Passwords of the documentation and well-known defaults, which attackers try first. */

import type { AuthConfig, Endpoint } from '../endpoint/endpoint.ts';
import type { Settings } from './settings.ts';

/** Passwords of README.md, config.example.yaml, deploy/ and FluxMQ. Every password that begins with `change-me` is an example too. */
const EXAMPLES = new Set([
  'secret',
  'guest',
  'fluxmq',
  'admin',
  'public',
  'password',
  '$2b$10$6K5eIVEpsti0niffxGUVH.Bq8SFb.A1rhVbQTLyO47OvQVGMfMRu6',
]);

function isExample(text: string | null | undefined): boolean {
  return typeof text === 'string' && (EXAMPLES.has(text) || /^change-?me/i.test(text));
}

/** Paths of all passwords and keys of the node's own configuration that are examples; those of its endpoints are examplesOf(). */
export function exampleSettings({ http, store, cluster, secrets, auth }: Settings): string[] {
  const { credentials } = cluster.bus ?? {};
  const given: [path: string, value: string | null | undefined][] = [
    ['http.password', http.password],
    ...http.viewers.map(({ password }, index): [string, string] => [`http.viewers[${index}].password`, password]),
    ['store.datasource.password', 'datasource' in store ? store.datasource.password : null],
    ['store.secretKey', secrets.secretKey],
    ['cluster.credentials.password', credentials?.password],
    ['cluster.credentials.token', credentials?.token],
  ];
  return [...given.filter(([, value]) => isExample(value)).map(([path]) => path), ...examplesIn(auth, 'auth')];
}

/** The same for one endpoint. */
export function examplesOf({ authConfig }: Endpoint): string[] {
  return examplesIn(authConfig ?? [], 'authConfig');
}

function examplesIn(auth: readonly AuthConfig[], path: string): string[] {
  return auth.flatMap((entry, index) =>
    ('users' in entry ? entry.users : []).flatMap(({ username, password }) =>
      isExample(password) ? [`${path}[${index}].users[${username}].password`] : [],
    ),
  );
}
