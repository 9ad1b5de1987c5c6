/** Ports for tests: free, outside the system's own range, and never in use by two test processes at one time. */

import { linkSync, mkdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** Above the last port that fetch() refuses by name, 10080 (the Fetch standard's "bad ports"). */
const FIRST = 10_081;
/** Stops below 32,768, where Linux begins to take the local ports of connections from. */
const COUNT = 22_600;
/** Holds one file for each port in use, with the number of the process that uses it. Each user has a folder, for all runs at one time. */
const CLAIMS = join(process.env['KIT_PORTS'] ?? tmpdir(), `fluxmq-test-ports-${userInfo().uid}`);

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
 * Claims a port. Test files run in parallel, and a port that one file has taken but does not listen on yet looks free to another. Without
 * claims, two brokers with shared ports (SO_REUSEPORT) would both get the port, and clients would reach either of them.
 */
function claim(port: number): boolean {
  const path = join(CLAIMS, String(port));
  const draft = `${path}.${process.pid}`;
  mkdirSync(CLAIMS, { recursive: true });
  writeFileSync(draft, String(process.pid));
  try {
    // A link appears with its content, whereas a new file would be empty for a moment.
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

/** Removes the claim of a process that was killed. The caller then tries another port. */
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

/** A loopback port without a listener, which no other test process gets while this one runs. Never returns a port twice. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (claim(port) && (await nobodyListens(port))) return port;
  }
}
