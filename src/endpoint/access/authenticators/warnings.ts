/** Authenticators that are valid, and let in more than their operator may expect. */

import type { SslConfig } from '../../endpoint.ts';
import type { AuthConfig } from '../config.ts';

const LOOPBACK = /^http:\/\/(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?:[:/?]|$)/i;

const NEAR = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]):/i;

/** @param tls of the endpoint */
export function authWarnings(list: readonly AuthConfig[], tls: Pick<SslConfig, 'clientAuth'>): string[] {
  return list.flatMap((entry, index) => {
    const at = `authenticator ${index + 1} (${entry.authType})`;
    if (entry.authType === 'http')
      return isClear(entry.url) ? [`${at}: passwords go to ${hostOf(entry.url)} in clear text; use https`] : [];
    if (entry.authType === 'x509' && tls.clientAuth === 'none') return [`${at}: lets nobody in, because sslConfig.clientAuth is none`];
    if (entry.authType === 'redis') {
      const far = entry.redis.tls ? undefined : entry.redis.servers.find((server) => !NEAR.test(server));
      return far === undefined ? [] : [`${at}: hashes and the login cross to ${far} unprotected; use tls`];
    }
    if (entry.authType !== 'jwt') return [];
    const isBound =
      entry.usernameClaim !== null || entry.from === 'username' || Object.values(entry.claims).some((value) => value.includes('${'));
    return [
      ...(entry.jwksUrl !== null && isClear(entry.jwksUrl)
        ? [`${at}: keys come from ${hostOf(entry.jwksUrl)} unprotected; use https`]
        : []),
      ...(isBound
        ? []
        : [`${at}: every valid token is good for every user name; set usernameClaim, or claims such as { sub: "\${username}" }`]),
    ];
  });
}

function isClear(url: string): boolean {
  return /^http:/i.test(url) && !LOOPBACK.test(url);
}

function hostOf(url: string): string {
  return /^https?:\/\/([^/?]*)/i.exec(url)?.[1] ?? '';
}
