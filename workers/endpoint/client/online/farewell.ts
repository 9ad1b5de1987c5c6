/** The last packet to a client, CONNACK with a refusal or DISCONNECT with a reason, and the log line of a fault in its input. */

import { stackOf } from '../../../../src/kernel/errors.ts';
import { CONNECTION_ERRORS } from '../../../../src/metrics/counters.ts';
import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import { encodeConnack, encodeDisconnect } from '../../../../src/mqtt/rare/encode.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { EndpointContext, WorkerContext } from '../context/context.ts';
import type { Sender } from '../output/sender.ts';
import type { ClientIdentity } from './identity.ts';

/** The part of a client that its end concerns. */
export interface EndingClient {
  readonly context: WorkerContext;
  readonly endpoint: EndpointContext;
  readonly sender: Sender;
  readonly identity: Readonly<ClientIdentity>;
  readonly address: string;
}

/** Reasons for which MQTT 3 has a return code. */
const CODES_OF_3: readonly number[] = [REASON.unsupportedProtocolVersion, REASON.clientIdentifierNotValid, REASON.quotaExceeded];

/** Writes the refusal of a CONNECT, with the reason string where it fits and is wanted. */
export function writeRefusal({ sender, identity }: EndingClient, reasonCode: number, reasonString: string | undefined): void {
  const { version } = sender;
  const refusal = { sessionPresent: false, reasonCode };
  const properties = reasonString === undefined || !identity.requestProblemInformation ? {} : { reasonString };
  sender.writeFitting(encodeConnack(version, { ...refusal, properties }), encodeConnack(version, refusal));
}

/** Writes the reason for which the server ends an online client. Only MQTT 5 has such a packet. */
export function writeReason(
  client: EndingClient,
  reasonCode: number,
  reasonString: string | undefined,
  serverReference: string | undefined,
): void {
  if (client.sender.version !== 5) return;
  const options = reasonString === undefined || !client.identity.requestProblemInformation ? {} : { reasonString };
  const bytes = encodeDisconnect(reasonCode, serverReference === undefined ? options : { ...options, serverReference });
  client.sender.writeFitting(bytes, encodeDisconnect(reasonCode, {}));
}

/**
 * Counts a client that ends before it is online, and answers a CONNECT that cannot be handled: MQTT 3 clients get an answer only when their
 * standard has a code for it.
 */
export function writeBadConnect(client: EndingClient, isConnect: boolean, reasonCode: number): void {
  client.endpoint.count(CONNECTION_ERRORS.bad_connect);
  const hasCode = CODES_OF_3.includes(reasonCode);
  if (isConnect && (client.sender.version === 5 || hasCode))
    client.sender.write(encodeConnack(client.sender.version, { sessionPresent: false, reasonCode }));
}

/** Counts and logs an error in a client's input. @returns the reason for the client */
export function noteFault(client: EndingClient, error: unknown): { reasonCode: number; reasonString?: string } {
  const { endpoint, context, address } = client;
  const { clientId } = client.identity;
  const where = `Endpoint ${endpoint.config.endpoint.port}`;
  if (!(error instanceof ProtocolError)) {
    context.logger.error(`${where}: a packet could not be handled`, { clientId, error: stackOf(error) });
    return { reasonCode: REASON.unspecifiedError };
  }
  const { reasonCode, message } = error;
  endpoint.count('errorProtocol');
  context.logger.debug(`${where}: ${message}`, { clientId, address, reasonCode });
  return { reasonCode, reasonString: message };
}
