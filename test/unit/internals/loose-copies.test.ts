/** A thread that ends right after dup(), before anything has taken the copy over: only JavaScript knew the copy, and it is closed. */

import { once } from 'node:events';
import { closeSync, fstatSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { descriptorOf, serverHandleOf, type TcpHandle } from '../../../src/internals/tcp-handles.ts';
import type { Guard } from '../../../src/internals/uws/contract.ts';

const FILE = join(import.meta.dirname, `../../../native/prebuilt/guard-linux-${process.arch}.node`);
const guard = createRequire(import.meta.url)(FILE) as Guard;
/** Ends only when somebody ends it. */
const THREAD = `
  const { parentPort, workerData } = require('node:worker_threads');
  const guard = require(workerData.file);
  const copy = guard.dup(workerData.fd);
  if (workerData.closes) require('node:fs').closeSync(copy);
  parentPort.postMessage(copy);
  for (;;);`;

let server: net.Server;
let client: net.Socket;
let accepted: TcpHandle;

beforeEach(async () => {
  server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const handle = new Promise<TcpHandle>((resolve) => {
    serverHandleOf(server)!.onconnection = (_status, each) => resolve(each!);
  });
  client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  accepted = await handle;
});
afterEach(() => {
  accepted.close();
  client.destroy();
  server.close();
});

async function threadThatCopies(closes: boolean): Promise<[Worker, number]> {
  const worker = new Worker(THREAD, { eval: true, workerData: { file: FILE, fd: accepted.fd, closes } });
  const [copy] = (await once(worker, 'message')) as [number];
  return [worker, copy];
}

test('the copy is closed with the thread', async () => {
  const [worker, copy] = await threadThatCopies(false);
  expect(fstatSync(copy).isSocket()).toBe(true);
  await worker.terminate();
  expect(() => fstatSync(copy)).toThrow('EBADF');
  expect(fstatSync(accepted.fd).isSocket()).toBe(true);
});

test("a copy that was closed is forgotten, though its number is another thread's descriptor by now", async () => {
  const [worker, copy] = await threadThatCopies(true);
  const others: number[] = [];
  try {
    // The lowest free number is given first.
    while (!others.includes(copy)) others.push(guard.dup(descriptorOf(client)));
    await worker.terminate();
    expect(fstatSync(copy).isSocket()).toBe(true);
  } finally {
    for (const each of others) closeSync(each);
  }
});
