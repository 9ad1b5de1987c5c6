/** Reads the sources that `sslConfig` names: inline PEM text, or files, each bounded in size. */

import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { SslConfig } from '../../endpoint/endpoint.ts';
import { isPem } from '../../endpoint/keys/tls.ts';
import { type Issue, messageOf } from '../../kernel/errors.ts';

/** A revocation list of a large authority has megabytes. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;
const NAMES = ['cert', 'key', 'ca', 'crl', 'keyStorePath', 'trustStorePath'] as const;

export type SourceName = (typeof NAMES)[number];

export interface Sources {
  /** content of the sources that could be read */
  bytes: Partial<Record<SourceName, Buffer>>;
  /** an issue for each source that could not be read */
  issues: Issue[];
  /** digest of all sources with their TLS options, errors of unreadable sources included: it differs after a change */
  digest: string;
}

/** True when a source is a file, which may change by itself. */
export function hasFiles(config: SslConfig): boolean {
  return NAMES.some((name) => config[name] !== null && !isPem(config[name]));
}

/** Reads every source. Never rejects: an unreadable source is an issue. */
export async function readSources(config: SslConfig): Promise<Sources> {
  const sources: Sources = { bytes: {}, issues: [], digest: '' };
  const { protocols, cipherSuites, clientAuth, passphrase, keyStorePassword, trustStorePassword } = config;
  const hash = createHash('sha256');
  hash.update(JSON.stringify([protocols, cipherSuites, clientAuth, passphrase, keyStorePassword, trustStorePassword]));
  for (const name of NAMES) {
    const value = config[name];
    if (value === null) continue;
    hash.update(`\0${name}\0`);
    try {
      const bytes = isPem(value) ? Buffer.from(value) : await readBounded(value);
      sources.bytes[name] = bytes;
      hash.update(bytes);
    } catch (error) {
      const message = `cannot be read: ${messageOf(error)}`;
      sources.issues.push({ path: `sslConfig.${name}`, message });
      hash.update(message);
    }
  }
  sources.digest = hash.digest('hex');
  return sources;
}

/** Content of a regular file. A pipe or a device is refused, because reading it would block the node. @throws Error */
async function readBounded(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const about = await file.stat();
    if (!about.isFile()) throw new Error(`${path} is not a file`);
    if (about.size > FILE_BYTES_MAX) throw new Error(`${path} is larger than ${FILE_BYTES_MAX / 1024 / 1024} MiB`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}
