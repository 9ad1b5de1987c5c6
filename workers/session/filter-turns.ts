/** How many filters this thread subscribes and unsubscribes in one loop iteration: clients that come back or go at once bring thousands. */

import { Turns } from '../../src/kernel/turns.ts';

export const filterTurns = new Turns(50);
