/** Reads database URLs: `postgres://`, `mysql://`, `mariadb://` and their `jdbc:` forms, with the parameters that fluxmq obeys. Pure. */

/** Protection of a connection. prefer: TLS where the server has it; require: TLS, any certificate; verify-ca, verify-full: a trusted one. */
export type DatabaseTls = 'off' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

export interface DatabaseAddress {
  kind: 'postgres' | 'mysql';
  /** name or IP address, without brackets */
  host: string;
  port: number;
  database: string;
  /** as given by the URL */
  username: string | null;
  password: string | null;
  tls: DatabaseTls;
  /** path of a PEM file with authorities to trust beside the usual ones */
  ca: string | null;
  /** Postgres: the schema that tables are in; null: the account's own search path */
  schema: string | null;
}

/** An address with the account to use. */
export interface DatabaseLogin extends DatabaseAddress {
  username: string;
  /** '' for none */
  password: string;
}

export interface ReadDatabaseUrl {
  /** null when there is a problem */
  address: DatabaseAddress | null;
  problems: string[];
  warnings: string[];
}

const KINDS: Record<string, { kind: DatabaseAddress['kind']; port: number }> = {
  postgres: { kind: 'postgres', port: 5432 },
  postgresql: { kind: 'postgres', port: 5432 },
  mysql: { kind: 'mysql', port: 3306 },
  mariadb: { kind: 'mysql', port: 3306 },
};

const SHAPE = /^(?:jdbc:)?([a-z]+):(?:\/\/(?:([^@/?]*)@)?(\[[^\]]*\]|[^:/?]*)(?::([^/?]*))?(?:\/|(?=\?|$)))?\/?([^/?]*)(?:\?(.*))?$/i;

const POSTGRES_MODES: Record<string, DatabaseTls> = {
  disable: 'off',
  allow: 'prefer',
  prefer: 'prefer',
  require: 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
};

const MYSQL_MODES: Record<string, DatabaseTls> = {
  disable: 'off',
  disabled: 'off',
  preferred: 'prefer',
  required: 'require',
  trust: 'require',
  verify_ca: 'verify-ca',
  'verify-ca': 'verify-ca',
  verify_identity: 'verify-full',
  'verify-full': 'verify-full',
};

/** Parameters of the JDBC drivers for a client certificate or a Java key store. Ignoring one would end in a refusal or in blind trust. */
const CERTIFICATE_PARAMETERS = [
  'sslcert',
  'sslkey',
  'sslpassword',
  'keystore',
  'keystorepassword',
  'truststore',
  'truststorepassword',
  'clientcertificatekeystoreurl',
  'trustcertificatekeystoreurl',
  'sslfactory',
];

/** Never throws. `problems` says what is wrong, without the URL, which may hold a password. */
export function readDatabaseUrl(url: string): ReadDatabaseUrl {
  const problems: string[] = [];
  const warnings: string[] = [];
  const [, scheme = '', login, host = '', port, database = '', query = ''] = SHAPE.exec(url.trim()) ?? [];
  const known = Object.hasOwn(KINDS, scheme.toLowerCase()) ? KINDS[scheme.toLowerCase()] : undefined;
  if (known === undefined) {
    const problem = 'must be a database URL such as jdbc:postgresql://localhost:5432/fluxmq or jdbc:mysql://localhost:3306/fluxmq';
    return { address: null, problems: [problem], warnings };
  }
  if (/[,()]/.test(host) || port?.includes(',')) problems.push('names several hosts: one is supported');
  const portNumber = port === undefined || port === '' ? known.port : Number(port);
  if (problems.length === 0 && !(Number.isInteger(portNumber) && portNumber >= 1 && portNumber <= 65535))
    problems.push('has no port from 1 to 65535');
  const name = decode(database);
  if (name === '') problems.push('names no database: …/fluxmq');
  const parameters = readParameters(query);
  const [username, password] = readLogin(login);
  const address: DatabaseAddress = {
    kind: known.kind,
    host: host.replace(/^\[|\]$/g, '') || 'localhost',
    port: portNumber,
    database: name,
    username: take(parameters, 'user') ?? username,
    password: take(parameters, 'password') ?? password,
    tls: 'prefer',
    ca: take(parameters, known.kind === 'postgres' ? 'sslrootcert' : 'serversslcert') ?? take(parameters, 'ssl-ca') ?? null,
    schema: known.kind === 'postgres' ? (take(parameters, 'currentschema') ?? null) : null,
  };
  address.tls = known.kind === 'postgres' ? postgresTls(parameters, problems) : mysqlTls(parameters, problems);
  for (const [key, { written }] of parameters) {
    if (CERTIFICATE_PARAMETERS.includes(key))
      problems.push(`${written} is not supported: certificates are PEM files, named by sslrootcert (Postgres) or serverSslCert (MySQL)`);
  }
  const rest = [...parameters].filter(([key]) => !CERTIFICATE_PARAMETERS.includes(key)).map(([, { written }]) => written);
  if (rest.length > 0) warnings.push(`${rest.join(', ')}: no effect here`);
  return { address: problems.length === 0 ? address : null, problems, warnings };
}

/** by lower-case name */
type Parameters = Map<string, { written: string; value: string }>;

function readParameters(query: string): Parameters {
  const parameters: Parameters = new Map();
  for (const part of query.split('&')) {
    if (part === '') continue;
    const at = part.includes('=') ? part.indexOf('=') : part.length;
    const written = decode(part.slice(0, at));
    parameters.set(written.toLowerCase(), { written, value: decode(part.slice(at + 1)) });
  }
  return parameters;
}

function take(parameters: Parameters, key: string): string | undefined {
  const found = parameters.get(key)?.value;
  parameters.delete(key);
  return found;
}

function takeFlag(parameters: Parameters, key: string): boolean | undefined {
  const value = take(parameters, key);
  // `?ssl` alone means true
  return value === undefined ? undefined : value === '' || value.toLowerCase() === 'true';
}

function readLogin(login: string | undefined): [string | null, string | null] {
  if (login === undefined || login === '') return [null, null];
  const at = login.includes(':') ? login.indexOf(':') : login.length;
  return [decode(login.slice(0, at)), at === login.length ? null : decode(login.slice(at + 1))];
}

/** As pgjdbc: prefer is the default, and `ssl=true` alone means verify-full. */
function postgresTls(parameters: Parameters, problems: string[]): DatabaseTls {
  const mode = take(parameters, 'sslmode');
  const flag = takeFlag(parameters, 'ssl');
  if (mode === undefined) return flag === undefined ? 'prefer' : flag ? 'verify-full' : 'off';
  return lookUp(POSTGRES_MODES, mode, 'sslmode', problems);
}

/** As Connector/J: sslMode wins over the older flags, and PREFERRED is the default. */
function mysqlTls(parameters: Parameters, problems: string[]): DatabaseTls {
  const mode = take(parameters, 'sslmode') ?? take(parameters, 'ssl-mode');
  const use = takeFlag(parameters, 'usessl');
  const require = takeFlag(parameters, 'requiressl');
  const verify = takeFlag(parameters, 'verifyservercertificate');
  const trust = takeFlag(parameters, 'trustservercertificate');
  if (mode !== undefined) return lookUp(MYSQL_MODES, mode, 'sslMode', problems);
  if (use === false) return 'off';
  if (verify === true && trust !== true) return 'verify-ca';
  return require === true || use === true ? 'require' : 'prefer';
}

function lookUp(modes: Record<string, DatabaseTls>, mode: string, name: string, problems: string[]): DatabaseTls {
  const found = Object.hasOwn(modes, mode.toLowerCase()) ? modes[mode.toLowerCase()] : undefined;
  if (found === undefined) problems.push(`${name}=${mode} is unknown: one of ${Object.keys(modes).join(', ')}`);
  return found ?? 'prefer';
}

/** A percent sign that encodes nothing stands for itself. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
