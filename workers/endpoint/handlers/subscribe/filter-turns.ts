/**
 * Limits the filters that SUBSCRIBE and UNSUBSCRIBE handle in one loop iteration of this thread. Otherwise clients that return together,
 * with thousands of filters, would hold the thread.
 */

import { Turns } from '../../../../src/kernel/turns/turns.ts';

export const filterTurns = new Turns(50);
