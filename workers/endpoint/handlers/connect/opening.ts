/** Holds a session's place for a client whose CONNACK waits until the session is on disk. */

import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { SessionOutlet } from '../../../shared/session/outlet.ts';
import type { Session } from '../../../shared/session/session.ts';
import type { Client } from '../../client/client.ts';
import { leaveSession } from '../../client/online/leave-session.ts';

/** Sends nothing: QoS 1 and 2 wait in the session, and QoS 0 comes too early. Another connection can take the session over. */
export class Opening implements SessionOutlet {
  readonly sendWindow = 0;
  readonly isSlow = false;
  readonly takesRuns = true;
  readonly #client: Client;
  readonly #session: Session;
  #isOver = false;

  constructor(client: Client, session: Session) {
    this.#client = client;
    this.#session = session;
    session.outlet = this;
  }

  /** True when another connection has taken the session over. */
  get isOver(): boolean {
    return this.#isOver;
  }

  sendRun(): void {}

  sendPublish(): boolean {
    return true;
  }

  sendPubrel(): void {}

  willPublished(): void {
    this.#client.setWill(null);
  }

  takenOver(): void {
    this.#isOver = true;
    this.#client.endpoint.count('takenOver');
    this.#client.refuse(REASON.sessionTakenOver, 'Another connection uses this client identifier');
    this.#session.will = null;
    leaveSession(this.#client.context, this.#session);
  }
}
