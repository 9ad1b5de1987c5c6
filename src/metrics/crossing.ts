/** Messages that this thread has handed to other threads of the same node for their subscribers. */

/** One per thread: only grows. `messages`: to endpoint workers; `toRelay`: to the relay, for subscribers of other nodes. */
export const crossing: { messages: number; toRelay: number } = { messages: 0, toRelay: 0 };
