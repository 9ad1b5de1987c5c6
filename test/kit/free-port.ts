/** Ports for tests: free, outside the range of the system's own, and given to no other process of tests that is running. */

import { linkSync, mkdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** Above the last port that fetch() refuses by name, 10080 (the Fetch standard's "bad ports"). */
const FIRST = 10_081;
/** Up to where Linux begins to take the local ports of connections from (32,768). */
const COUNT = 22_600;
/** A file for each port that is given, with the number of the process that it was given to; each user has a folder. */
const CLAIMS = join(tmpdir(), `fluxmq-test-ports-${userInfo().uid}`);

const own = new Set<string>();
process.on('exit', () => {
  for (const claim of own) rmSync(claim, { force: true });
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Test files run side by side: a port that one has been given and does not listen on yet looks free to the other. Two brokers on one
 * port would both have it where it is shared between workers (SO_REUSEPORT), and clients would meet either.
 */
function claim(port: number): boolean {
  const path = join(CLAIMS, String(port));
  const draft = `${path}.${process.pid}`;
  mkdirSync(CLAIMS, { recursive: true });
  writeFileSync(draft, String(process.pid));
  try {
    // A link appears with its content, a new file would be empty for a moment.
    linkSync(draft, path);
    own.add(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return inherit(path);
  } finally {
    unlinkSync(draft);
  }
}

/** One that was killed leaves its claims: the next who comes upon one takes it away, and another port. */
function inherit(path: string): false {
  try {
    if (!isRunning(Number(readFileSync(path, 'utf8')))) rmSync(path, { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return false;
}

function nobodyListens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A loopback port that nothing listens on now, and that nobody else is given while this process runs; never the same one twice. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (claim(port) && (await nobodyListens(port))) return port;
  }
}
