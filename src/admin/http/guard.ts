/** Keeps other web sites and other host names away from the API, and adds the security headers to every answer. */

import { isLoopbackHost } from '../../kernel/address.ts';
import { FluxError } from '../../kernel/errors.ts';

/** The parts of a request that show its origin. */
export interface Origin {
  method: string;
  /** as the client sent them */
  headers: { get(name: string): string | null };
  /** host that the client asked for, as the client or a trusted proxy reports it */
  host: string;
  /** HTTP/1.1 demands a Host header (RFC 9112 section 3.2) */
  needsHost: boolean;
}

/**
 * Refuses requests that a page of another site makes through the user's browser. Where no login is needed, also refuses requests under a
 * name that is not a loopback name (DNS rebinding).
 * @param loginRequired false on loopback without a password: every method is guarded then; true: only methods that change something
 * @throws FluxError `forbidden`, `invalid`
 */
export function refuseForeign({ method, headers, host, needsHost }: Origin, loginRequired: boolean): void {
  if (needsHost && headers.get('host') === null) throw new FluxError('invalid', 'An HTTP/1.1 request needs a Host header');
  if (!loginRequired && !isLoopbackHost(host)) {
    throw new FluxError('forbidden', 'Without a login the API answers only under a loopback name: localhost, 127.0.0.1 or [::1]');
  }
  const harmless = method === 'GET' || method === 'HEAD';
  if (loginRequired && harmless) return;
  const site = headers.get('sec-fetch-site');
  // Only browsers set this header. It is more reliable than Host, which a proxy may have rewritten.
  if (site === 'same-origin') return;
  const origin = headers.get('origin');
  const isOther = origin !== null && !isSameHost(origin, host);
  if (site === 'cross-site' || site === 'same-site') throw new FluxError('forbidden', 'A request from another web site is refused');
  if (isOther) {
    const remedy = 'behind a proxy that rewrites Host: let it send X-Forwarded-Host, and name it in http.trustedProxies';
    throw new FluxError('forbidden', `A request from another web site is refused (${remedy})`);
  }
}

/** Compares host and port. Either side may write or omit the default port of the scheme. */
function isSameHost(origin: string, host: string): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, host: wanted } = new URL(origin);
  const asked = `${protocol}//${host}`;
  return wanted !== '' && URL.canParse(asked) && new URL(asked).host === wanted;
}

const SECURITY_HEADERS: Record<string, string> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
};

/** Adds security headers that the answer lacks. There is no CORS header, because no other origin may read an answer. */
export function addSecurityHeaders(headers: Headers): void {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
    if (!headers.has(name)) headers.set(name, value);
  }
}
