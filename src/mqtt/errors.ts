/** A violation of the MQTT standards by a client; carries the reason code that ends its connection. */

import type { ReasonCode } from './reason-codes.ts';

/** Thrown where it is known, decided in one catch per connection. `message` may go out as MQTT 5 Reason String. */
export class ProtocolError extends Error {
  readonly reasonCode: ReasonCode;

  constructor(reasonCode: ReasonCode, message: string) {
    super(message);
    this.name = 'ProtocolError';
    this.reasonCode = reasonCode;
  }
}
