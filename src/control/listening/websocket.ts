/** The transport of an endpoint's WebSocket connections on this node, for its status and for the answers to changes. */

import { testNode } from '../../internals/self-test.ts';
import { reasonForBuiltin, type WebSocketTerms } from '../../thread/websocket-transport.ts';

/** An endpoint that may have WebSocket. */
interface Terms extends WebSocketTerms {
  endpoint: WebSocketTerms['endpoint'] & { useWebsocket: boolean };
}

/** @returns null: the endpoint has no WebSocket. `reason` says why the built-in transport serves */
export function websocketOf(terms: Terms | null): { transport: 'uws' | 'builtin'; reason: string | null } | null {
  if (terms === null || !terms.endpoint.useWebsocket) return null;
  const reason = reasonForBuiltin(terms, lackingUws);
  return { transport: reason === null ? 'uws' : 'builtin', reason };
}

/** A warning when the endpoint asks for uWebSockets.js, and this node cannot use it. */
export function transportWarnings(terms: Terms): string[] {
  const reason = terms.endpoint.websocketTransport === 'uws' ? (websocketOf(terms)?.reason ?? null) : null;
  return reason === null ? [] : [`websocketTransport is uws, and the built-in transport serves: ${reason}`];
}

function lackingUws(): string | null {
  const { uws } = testNode().websocketTransports;
  return uws === true ? null : uws;
}
