/** Keeps other web sites and other host names away from the API, and puts the security headers on every answer. */

import { FluxError } from '../../kernel/errors.ts';

/**
 * Refuses a request that a page of another site makes through the user's browser, and, where no login is needed, a request
 * under a name that is not a loopback name (DNS rebinding).
 * @param loginRequired false on loopback without a password: every method is then guarded, else only those that change something
 * @throws FluxError `forbidden`
 */
export function refuseForeign(request: Request, loginRequired: boolean): void {
  const host = request.headers.get('host') ?? '';
  if (!loginRequired && !isLoopbackName(host)) {
    throw new FluxError('forbidden', 'Without a login the API answers only under a loopback name: localhost, 127.0.0.1 or [::1]');
  }
  const harmless = request.method === 'GET' || request.method === 'HEAD';
  if (loginRequired && harmless) return;
  const site = request.headers.get('sec-fetch-site');
  const origin = request.headers.get('origin');
  const foreign = site === 'cross-site' || site === 'same-site' || (origin !== null && hostOf(origin) !== host.toLowerCase());
  if (foreign) throw new FluxError('forbidden', 'A request from another web site is refused');
}

/** True for localhost, 127.0.0.0/8 and [::1], with any port. */
function isLoopbackName(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i.test(host);
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}

/** True for an address that only this machine can reach. */
export function isLoopbackAddress(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}

const SECURITY_HEADERS: Record<string, string> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
};

/** Adds the security headers that the answer does not set itself. There is no CORS header: no other origin may read an answer. */
export function addSecurityHeaders(headers: Headers): void {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
    if (!headers.has(name)) headers.set(name, value);
  }
}
