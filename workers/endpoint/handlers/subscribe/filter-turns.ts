/**
 * Filters that SUBSCRIBE and UNSUBSCRIBE handle per loop iteration of this thread. Clients that return at once bring thousands of filters.
 */

import { Turns } from '../../../../src/kernel/turns/turns.ts';

export const filterTurns = new Turns(50);
