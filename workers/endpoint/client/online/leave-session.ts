/** Leaves a session without a client: the session ends, or it waits for the session worker to fetch it. */

import type { Session } from '../../../shared/session/session.ts';
import type { WorkerContext } from '../context/context.ts';

export function leaveSession({ table, directory }: WorkerContext, session: Session): void {
  session.detach();
  if (table.afterDetach(session) === 'ended') directory.ended(session);
  else directory.parked(session);
}
