/** A client's violation of the MQTT standard, with the reason code that ends the connection. */

import type { ReasonCode } from './reason-codes.ts';

/** Thrown where the violation is found, and handled in one catch per connection. `message` may go out as MQTT 5 Reason String. */
export class ProtocolError extends Error {
  readonly reasonCode: ReasonCode;

  constructor(reasonCode: ReasonCode, message: string) {
    super(message);
    this.name = 'ProtocolError';
    this.reasonCode = reasonCode;
  }
}
