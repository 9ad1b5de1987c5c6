/** Chaos in a cluster over POSTGRESQL. */

import { testShortChaos } from './short.ts';

testShortChaos('POSTGRESQL');
