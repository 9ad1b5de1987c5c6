/** The part of a session worker that keeps the retained messages of one node of a cluster, for tests. */

import { createMessageNumbers } from '../../../../src/thread/message-numbers.ts';
import { createStoreState, StoreState } from '../../../../src/thread/store-state.ts';
import type { MessageDisk } from '../../../../workers/host/disk/message-disk.ts';
import { RetainedKeeper } from '../../../../workers/host/retained/keeper.ts';
import { RefusalLog } from '../../../../workers/host/retained/refusal-log.ts';
import { RetainedStore } from '../../../../workers/host/retained/store.ts';
import { EMPTY, Message, SOURCES_PER_NODE } from '../../../../workers/shared/messages/message.ts';
import { type Stamp, StampClock } from '../../../../workers/shared/messages/stamp.ts';
import { recordingLogger } from '../../control/kit.ts';

export const TODAY = Date.UTC(2026, 10, 30);
export const NO_LIMIT = { messages: 1_000_000, bytes: 1_000_000_000 };

export const NO_SYNC = { pulled: 0, sent: 0, behind: 0 };

/** A message of another node. */
export function foreign(topic: string, text: string, stamp: Stamp, expiresAt = 0): Message {
  const made = new Message(topic, Buffer.from(text), 0, true, EMPTY, expiresAt, '');
  made.source = SOURCES_PER_NODE + 1;
  made.serial = 1;
  made.stamp = stamp;
  return made;
}

export interface NodeOptions {
  name?: string;
  disk?: MessageDisk | null;
  limits?: typeof NO_LIMIT;
  wall?: () => number;
  onRefused?: (namespace: string, message: Message) => void;
}

export function retainedNode({ name = 'n', disk = null, limits = NO_LIMIT, wall = () => TODAY, onRefused = () => {} }: NodeOptions = {}) {
  const store = new RetainedStore(disk, limits, true);
  const { logger, lines } = recordingLogger();
  const clock = new StampClock(createMessageNumbers(), name, wall);
  const state = new StoreState(createStoreState());
  state.set(null);
  const refusals = new RefusalLog(() => logger);
  const keeper = new RetainedKeeper({
    store,
    disk,
    state,
    clock,
    isReplicated: true,
    refusals,
    schedule() {},
    onRefused,
    logger: () => logger,
  });
  return { store, keeper, clock, lines, logger, content: (namespace = 'd') => contentOf(store, namespace) };
}

export function contentOf(store: RetainedStore, namespace = 'd'): Record<string, string> {
  const walk = store.walk(namespace, '#');
  const content: Record<string, string> = {};
  for (let next = walk?.step(); next !== undefined; next = walk?.step()) if (next !== null) content[next.topic] = next.payload.toString();
  return content;
}
