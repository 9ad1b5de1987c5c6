/** How many filters SUBSCRIBE and UNSUBSCRIBE are given in one loop iteration of this thread: clients that come back at once bring thousands. */

import { Turns } from '../../src/kernel/turns/turns.ts';

export const filterTurns = new Turns(50);
