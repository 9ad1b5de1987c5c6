/** Certificates made by openssl: a root, an intermediate authority, the certificates that they issue, and their revocation lists. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = new Set<string>();
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder that is removed when this process ends. */
export function certificateFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fluxmq-certificates-'));
  folders.add(folder);
  return folder;
}

/** Runs openssl. @throws Error with the output of openssl */
export function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** A certificate with its key: paths of PEM files. */
export interface Issued {
  cert: string;
  /** the certificate, followed by the intermediate one */
  chain: string;
  key: string;
}

export interface IssueOptions {
  /** validity, in days from now; default -1 to 365 */
  from?: number;
  to?: number;
  /** `server` is for localhost and 127.0.0.1, `named` for localhost alone */
  kind?: 'server' | 'named' | 'client' | 'authority';
}

/** openssl's form of a moment, UTC. */
function moment(days: number): string {
  return `${new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]|\.\d+Z$/g, '')}Z`;
}

const EXTENSIONS = {
  authority: 'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign',
  server: 'basicConstraints=CA:false\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1',
  named: 'basicConstraints=CA:false\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost',
  client: 'basicConstraints=CA:false\nextendedKeyUsage=clientAuth',
};

export class Authority {
  /** PEM of its certificate */
  readonly cert: string;
  readonly folder: string;
  readonly #name: string;
  readonly #parent: Authority | null;
  readonly #config: string;
  #serial = 0;

  private constructor(folder: string, name: string, parent: Authority | null) {
    this.folder = folder;
    this.#name = name;
    this.#parent = parent;
    mkdirSync(join(folder, name));
    this.cert = join(folder, `${name}.pem`);
    this.#config = join(folder, name, 'ca.cnf');
    writeFileSync(join(folder, name, 'index.txt'), '');
    writeFileSync(`${this.#config}.attr`, '');
    const lines = [
      '[ca]',
      'default_ca=own',
      '[own]',
      `dir=${join(folder, name)}`,
      'database=$dir/index.txt',
      'new_certs_dir=$dir',
      'rand_serial=yes',
      'default_md=sha256',
      'policy=any',
      'unique_subject=no',
      '[any]',
      'commonName=supplied',
      ...Object.entries(EXTENSIONS).flatMap(([kind, text]) => [`[${kind}]`, text]),
    ];
    writeFileSync(this.#config, `${lines.join('\n')}\n`);
  }

  /** A self-signed authority. */
  static root(folder: string, name = 'root'): Authority {
    const authority = new Authority(folder, name, null);
    const csr = request(folder, name);
    authority.#sign(csr, authority.cert, { kind: 'authority', to: 3650 }, ['-selfsign', '-keyfile', join(folder, `${name}.key`)]);
    return authority;
  }

  /** An authority below this one. */
  intermediate(name = 'intermediate', dates: Pick<IssueOptions, 'from' | 'to'> = { to: 1800 }): Authority {
    const authority = new Authority(this.folder, name, this);
    this.#sign(request(this.folder, name), authority.cert, { kind: 'authority', ...dates }, this.#own());
    return authority;
  }

  /** A certificate with a fresh key. */
  issue(name: string, options: IssueOptions = {}): Issued {
    const file = join(this.folder, `${this.#name}-${name}-${++this.#serial}`);
    const csr = request(this.folder, name, file);
    const cert = `${file}.pem`;
    this.#sign(csr, cert, options, this.#own());
    const chain = `${file}.chain.pem`;
    writeFileSync(chain, readFileSync(cert, 'utf8') + (this.#parent === null ? '' : readFileSync(this.cert, 'utf8')));
    return { cert, chain, key: `${file}.key` };
  }

  revoke({ cert }: Issued): void {
    openssl('ca', '-config', this.#config, ...this.#own(), '-revoke', cert);
  }

  /** The authority's revocation list as PEM text, dated ten days ago. @param days from now until its next update */
  crl(days = 1): string {
    const dates = ['-crl_lastupdate', moment(-10), '-crl_nextupdate', moment(days)];
    return openssl('ca', '-config', this.#config, ...this.#own(), '-gencrl', ...dates);
  }

  #own(): string[] {
    return ['-cert', this.cert, '-keyfile', join(this.folder, `${this.#name}.key`)];
  }

  #sign(csr: string, out: string, { from = -1, to = 365, kind = 'server' }: IssueOptions, signer: string[]): void {
    const dates = ['-startdate', moment(from), '-enddate', moment(to)];
    openssl('ca', '-batch', '-notext', '-config', this.#config, ...signer, '-in', csr, '-out', out, '-extensions', kind, ...dates);
  }
}

/** Makes a fresh key and a request for a certificate. @returns the request's path */
function request(folder: string, name: string, file = join(folder, name)): string {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${file}.key`];
  openssl('req', '-new', ...key, '-subj', `/CN=${name}`, '-out', `${file}.csr`);
  return `${file}.csr`;
}

/** A PKCS#12 store of a certificate, its key and its chain. @returns the path */
export function toPkcs12({ chain, key }: Issued, password: string, ...more: string[]): string {
  const out = `${key}.p12`;
  openssl('pkcs12', '-export', '-in', chain, '-inkey', key, '-out', out, '-passout', `pass:${password}`, ...more);
  return out;
}

/** The same key, encrypted. @returns the path */
export function encryptKey({ key }: Issued, password: string): string {
  const out = `${key}.encrypted`;
  openssl('pkcs8', '-topk8', '-in', key, '-out', out, '-passout', `pass:${password}`);
  return out;
}
