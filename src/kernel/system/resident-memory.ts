/** Resident memory of the process. Node opens a file of /proc for it, which fails when all file descriptors are in use. */

let last = 0;

/** Bytes of resident memory; the last known number when it cannot be read. */
export function residentBytes(): number {
  try {
    last = process.memoryUsage.rss();
  } catch {
    // Without a free file descriptor nothing can be read. The number is for judging and for display, and is read again soon.
  }
  return last;
}
