/** Builds the credentials for a NATS server; reads the files anew for each connection, so a rotated file takes effect. */

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { type ConnectionOptions, credsAuthenticator } from 'nats';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { BusCredentials } from '../settings.ts';

const KEY = 'cluster.credentials';

/**
 * Reads the files of the credentials.
 * @returns a function from the name that a server's certificate must carry to the connection's options
 * @throws FluxError `unavailable` naming the key and its file, never the content
 */
export function readLogin(credentials: BusCredentials): (name: string) => Partial<ConnectionOptions> {
  const { user, password, token, credsFile, tls } = credentials;
  const login = {
    ...(user === null ? {} : { user, pass: password ?? '' }),
    ...(token === null ? {} : { token }),
    ...(credsFile === null ? {} : { authenticator: fromFile(credsFile) }),
  };
  if (tls === null) return () => login;
  const own = { ...pem('ca', tls.ca), ...pem('cert', tls.crt, 'crt'), ...pem('key', tls.key) };
  return (name) => ({ ...login, tls: { ...identity(name), ...own } });
}

function fromFile(path: string): NonNullable<ConnectionOptions['authenticator']> {
  const bytes = read(path, `${KEY}.credsFile`);
  try {
    const authenticator = credsAuthenticator(bytes);
    // Signing once here finds a bad file before a server asks for the signature.
    authenticator('nonce');
    return authenticator;
  } catch {
    throw new FluxError('unavailable', `${KEY}.credsFile: ${path} is not a NATS credentials file (a JWT and the nkey seed of a user)`);
  }
}

/** The library would check the certificate of an address for the name `localhost`. */
function identity(name: string): { host: string } | { servername: string } {
  return isIP(name) === 0 ? { servername: name } : { host: name };
}

function pem<K extends string>(option: K, path: string | null, key: string = option): Partial<Record<K, string>> {
  return path === null ? {} : ({ [option]: read(path, `${KEY}.tls.${key}`).toString('utf8') } as Partial<Record<K, string>>);
}

function read(path: string, key: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'it may not be read' : (code ?? messageOf(error));
    throw new FluxError('unavailable', `${key}: ${path}: ${why}`, { cause: error });
  }
}
