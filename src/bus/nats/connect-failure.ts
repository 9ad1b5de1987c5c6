/** Explains why a connection to a NATS server failed: names the setting to look at, and never contains a secret. */

import type { NatsError } from 'nats';
import { FluxError } from '../../kernel/errors.ts';
import type { BusCredentials } from '../settings.ts';

const WORDS: Readonly<Record<string, string>> = {
  CONNECTION_REFUSED: 'nobody listens there',
  TIMEOUT: 'it does not answer',
  CONNECTION_TIMEOUT: 'it does not answer',
  CONNECTION_CLOSED: 'it closed the connection',
  DISCONNECT: 'it closed the connection',
  SERVER_OPT_NA: 'it does not offer TLS, which the configuration demands (cluster.credentials.tls, or tls:// in cluster.addresses)',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the host name cannot be looked up now',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
};

/** Codes of Node and OpenSSL for a server certificate that does not verify. */
const UNTRUSTED = /^(UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|CERT_|ERR_TLS_CERT_ALTNAME_INVALID|INVALID_CA|HOSTNAME_MISMATCH)/;

/** Codes of a connection that the server broke off. */
const CUT = /^(ECONNRESET|EPIPE)$/;

/** One line without the server's address. */
export function connectFailure(error: unknown, credentials: BusCredentials): string {
  if (error instanceof FluxError) return error.message;
  const { code = '', message = String(error), chainedError } = error as Partial<NatsError>;
  if (code === 'AUTHORIZATION_VIOLATION' || code === 'AUTHENTICATION_EXPIRED') return refusal(credentials);
  if (UNTRUSTED.test(code)) {
    const authority = credentials.tls?.ca ?? null;
    const whose = authority === null ? 'the authorities of Node; cluster.credentials.tls.ca names others' : authority;
    return `its certificate is not trusted: ${message} (compared with ${whose})`;
  }
  if (code.startsWith('ERR_SSL_')) {
    const alert = /alert ([a-z ]+)/.exec(message)?.[1] ?? code;
    return `it refuses the TLS handshake (${alert}): ${certificateHint(credentials)}`;
  }
  if (CUT.test(code)) {
    // With TLS 1.3 a server refuses a client certificate after the client has begun to send. The unread bytes make the server's
    // system reset the connection, and the reset may overtake the alert.
    return `it reset the connection (${code})${credentials.tls === null ? '' : `: ${certificateHint(credentials)}`}`;
  }
  if (code === 'TLS') return `cluster.credentials.tls cannot be used: ${chainedError?.message ?? message}`;
  return WORDS[code] ?? message;
}

function certificateHint({ tls }: BusCredentials): string {
  const has = tls?.crt ?? null;
  if (has === null) return 'it may want a client certificate (cluster.credentials.tls.crt)';
  return `is ${has} of an authority that it trusts?`;
}

function refusal({ user, token, credsFile }: BusCredentials): string {
  if (credsFile !== null) return `it refuses the login: Authorization Violation with ${credsFile} (cluster.credentials.credsFile)`;
  if (token !== null) return 'it refuses the login: Authorization Violation with the token of cluster.credentials.token';
  if (user !== null) return `it refuses the login: Authorization Violation of user ${user} (cluster.credentials.user and password)`;
  return 'it demands a login: Authorization Violation without any (cluster.credentials)';
}
