/** The section `store` of the settings: the kind of store, and the address and login of a database. */

import { z } from 'zod';
import { check, isObject, type Problems } from '../../endpoint/problems.ts';
import { type DatabaseAddress, readDatabaseUrl } from '../../kernel/input/database-url.ts';
import { group, nonEmptyText, wholeNumber, withoutNulls } from '../forms.ts';
import type { Settings } from '../settings.ts';

const localSchema = group({ dataPath: nonEmptyText(4096).optional() });
const datasourceSchema = group({
  // also where it has no effect: a FluxMQ 2.1 file with its default store has one
  url: nonEmptyText()
    .regex(/^(jdbc:)?[a-z][a-z0-9+]*:/i, { error: 'must be a database URL such as jdbc:postgresql://localhost:5432/fluxmq' })
    .optional(),
  username: z.string({ error: 'must be a string' }).optional(),
  password: z.string({ error: 'must be a string' }).optional(),
  driver: nonEmptyText().optional(),
  schema: nonEmptyText(63).optional(),
  maxPoolSize: wholeNumber(1, 1000).optional(),
});
type Datasource = z.infer<typeof datasourceSchema>;

const KINDS: Record<string, DatabaseAddress['kind']> = { POSTGRESQL: 'postgres', MYSQL: 'mysql' };
const POOL_SIZE_MAX = 10;

/** Reads `store`; every problem is added to `problems`, and the result is complete in any case. */
export function readStore(input: unknown, problems: Problems, warnings: string[]): Settings['store'] {
  const local = { dataPath: './data' };
  const given = withoutNulls(input);
  if (!isObject(given)) {
    problems.add('store', 'must be a group of keys');
    return { storeType: 'LOCAL', local };
  }
  const { storeType = 'LOCAL', datasource, local: folder, ...unknown } = given;
  for (const key of Object.keys(unknown)) problems.addUnknownKey(`store.${key}`);
  local.dataPath = check(localSchema, withoutNulls(folder ?? {}), 'store.local', problems)?.dataPath ?? local.dataPath;
  const read = check(datasourceSchema, withoutNulls(datasource ?? {}), 'store.datasource', problems);
  if (storeType === 'POSTGRESQL' || storeType === 'MYSQL') {
    const login = read === undefined ? null : readLogin(read, storeType, problems, warnings);
    if (login !== null) return { storeType, local, datasource: { ...login, maxPoolSize: read?.maxPoolSize ?? POOL_SIZE_MAX } };
  } else if (storeType === 'LOCAL' || storeType === 'MEMORY') {
    if (datasource !== undefined) warnings.push(`store.datasource: not used with storeType ${storeType}`);
    return { storeType, local };
  } else problems.add('store.storeType', 'must be one of MYSQL, POSTGRESQL, LOCAL, MEMORY');
  return { storeType: 'LOCAL', local };
}

/** Username and password beside the URL win over those in the URL. */
function readLogin(given: Datasource, storeType: 'POSTGRESQL' | 'MYSQL', problems: Problems, warnings: string[]) {
  if (given.url === undefined) {
    problems.add('store.datasource.url', `is needed with storeType ${storeType}`);
    return null;
  }
  const read = readDatabaseUrl(given.url);
  for (const problem of read.problems) problems.add('store.datasource.url', problem);
  for (const warning of read.warnings) warnings.push(`store.datasource.url: ${warning}`);
  const driverKind = given.driver === undefined ? null : kindOfDriver(given.driver);
  if (driverKind !== null && driverKind !== KINDS[storeType]) {
    problems.add('store.datasource.driver', `${given.driver} does not fit storeType ${storeType}`);
  }
  const { address } = read;
  if (address === null) return null;
  if (address.kind !== KINDS[storeType]) problems.add('store.datasource.url', `does not fit storeType ${storeType}`);
  const username = given.username ?? address.username ?? '';
  if (username === '') problems.add('store.datasource.username', 'is needed, here or in the URL');
  if (given.schema !== undefined && address.kind === 'mysql') problems.add('store.datasource.schema', 'is for POSTGRESQL only');
  return { ...address, schema: given.schema ?? address.schema, username, password: given.password ?? address.password ?? '' };
}

/** A driver name loads nothing here; one that contradicts the storeType is a mistake. */
function kindOfDriver(driver: string): DatabaseAddress['kind'] | null {
  if (/postgres/i.test(driver)) return 'postgres';
  return /mysql|mariadb/i.test(driver) ? 'mysql' : null;
}
