/** Chaos in a cluster over LOCAL. */

import { testShortChaos } from './short.ts';

testShortChaos('LOCAL');
