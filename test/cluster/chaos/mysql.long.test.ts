/** Chaos in a cluster over MYSQL. */

import { testShortChaos } from './short.ts';

testShortChaos('MYSQL');
