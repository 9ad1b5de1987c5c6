/** Facts from reverse proxies about a request: the client's address, the host that it asked for, and the path prefix of the proxies. */

import { isIP } from 'node:net';
import { Networks, withoutMapping } from '../../kernel/input/networks.ts';

/** The origin of a request, and the name under which its sender knows this API. */
export interface Forwarded {
  /** address of the client; a proxy's own address when no trusted proxy names another one */
  address: string;
  /** host and port that the client asked for; '' when it named none */
  host: string;
  /** '' or a path such as `/fluxmq`, without a final slash */
  prefix: string;
}

interface HeaderSource {
  get(name: string): string | null;
}

/** Most addresses of X-Forwarded-For that are read. */
const HOPS_MAX = 32;
const PREFIX = /^(\/[A-Za-z0-9._~-]+)+$/;

export class Proxies {
  readonly #trusted: Networks;
  readonly #basePath: string;

  /**
   * @param trusted addresses and networks (`10.0.0.0/8`) whose X-Forwarded-* headers are trusted
   * @param basePath prefix under which the API also answers; '' for none
   */
  constructor(trusted: readonly string[], basePath: string) {
    this.#trusted = new Networks(trusted);
    this.#basePath = basePath;
  }

  /** @param peer address of the socket's other end; null without a socket */
  read(peer: string | null, headers: HeaderSource): Forwarded {
    const own = { address: peer ?? 'unknown', host: headers.get('host') ?? '', prefix: this.#basePath };
    if (peer === null || !this.#trusted.has(peer)) return own;
    const host = first(headers.get('x-forwarded-host'));
    const prefix = first(headers.get('x-forwarded-prefix')).replace(/\/+$/, '');
    return {
      address: this.#clientOf(peer, headers.get('x-forwarded-for')),
      host: host === '' ? own.host : host,
      prefix: PREFIX.test(prefix) ? prefix : own.prefix,
    };
  }

  /** The path without the prefix and without final slashes, because clients and proxies write the same route in all these forms. */
  routeOf(path: string, prefix: string): string {
    const isInside = prefix !== '' && (path === prefix || path.startsWith(`${prefix}/`));
    const inner = isInside ? path.slice(prefix.length) : path;
    return inner.replace(/\/+$/, '') || '/';
  }

  /** The nearest address that is no trusted proxy. Addresses further left could be invented by the client. */
  #clientOf(peer: string, header: string | null): string {
    const hops = (header ?? '').split(',').slice(-HOPS_MAX);
    let nearest = peer;
    for (const hop of hops.reverse()) {
      const address = addressIn(hop.trim());
      if (address === null) break;
      nearest = address;
      if (!this.#trusted.has(address)) break;
    }
    return nearest;
  }
}

function first(header: string | null): string {
  return (header ?? '').split(',')[0]?.trim() ?? '';
}

/** An address in the forms that proxies write: also with a port, and IPv6 in brackets. */
function addressIn(text: string): string | null {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text;
  return isIP(bare) === 0 ? null : withoutMapping(bare);
}
