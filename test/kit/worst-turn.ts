/** How long work keeps this thread from everything else it has to do, by the processor time that it takes: a busy machine does not count. */

import { closeSync, openSync, readSync } from 'node:fs';

/** Milliseconds that this thread, which must be the main one of its process, has been on a processor. Linux only. */
function openClock(): { read(): number; close(): void } {
  const file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  const buffer = Buffer.alloc(64);
  return {
    read: () => Number(buffer.toString('latin1', 0, readSync(file, buffer, 0, 64, 0)).split(' ')[0]) / 1e6,
    close: () => closeSync(file),
  };
}

/** Runs `work`. @returns what it gave, and the longest turn of the event loop during it, milliseconds of processor time */
export async function worstTurn<T>(work: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const clock = openClock();
  let last = clock.read();
  let ms = 0;
  const look = () => {
    const now = clock.read();
    ms = Math.max(ms, now - last);
    last = now;
  };
  let isOver = false;
  const each = () => {
    look();
    if (!isOver) setImmediate(each);
  };
  setImmediate(each);
  try {
    const result = await work();
    await new Promise((resolve) => setImmediate(resolve));
    look();
    return { result, ms };
  } finally {
    isOver = true;
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    clock.close();
  }
}
