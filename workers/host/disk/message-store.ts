/** The message store of a session worker: messages.db when it can be opened, its state for all threads, and the recovery from failures. */

import type { Logger } from '../../../src/kernel/logger.ts';
import { StoreState } from '../../../src/thread/store-state.ts';
import { MessageDisk } from './message-disk.ts';
import { Recovery } from './recovery.ts';
import { causeOfSqlite } from './write-group.ts';

export interface MessageStoreOptions {
  /** null: nothing is stored on disk */
  dataPath: string | null;
  /** from `WorkerBoot` */
  memory: SharedArrayBuffer;
  /** first session worker of the process: an unreadable file aborts the start */
  isFirst: boolean;
  logger: () => Logger;
  /** undoes the changes in memory of a group that could not be stored */
  onFailed: () => void;
  /** called when the waiting changes are on disk */
  onWritten: () => void;
  /** called when messages.db can be opened again: a new session worker must read it */
  onReadable: (why: string) => void;
}

/** Milliseconds between two attempts to open the file. */
const OPEN_RETRY_MS = 1_000;

export class MessageStore {
  readonly state: StoreState;
  /** null: nothing is stored on disk, or the file cannot be opened */
  readonly disk: MessageDisk | null;
  readonly #recovery: Recovery | null = null;
  #timer: NodeJS.Timeout | null = null;

  /** @throws Error when the file cannot be used for a reason that needs the operator */
  constructor(options: MessageStoreOptions) {
    const { dataPath, memory, logger } = options;
    this.state = new StoreState(memory);
    this.disk = dataPath === null ? null : this.#open(dataPath, options);
    if (dataPath === null || this.disk === null) return;
    const { disk, state } = this;
    this.state.set(null);
    this.#recovery = new Recovery({ dataPath, file: disk, reserve: disk.reserve, state, logger, onWritten: options.onWritten });
    const recovery = this.#recovery;
    disk.onLost = () => state.countLost();
    disk.onFailed = (cause) => {
      options.onFailed();
      recovery.begin(cause);
    };
    recovery.start();
  }

  #open(dataPath: string, { isFirst, logger, onReadable }: MessageStoreOptions): MessageDisk | null {
    try {
      return new MessageDisk(dataPath);
    } catch (error) {
      const cause = causeOfSqlite(error);
      if (cause === null || (isFirst && cause === 'database damaged')) throw error;
      this.state.set(cause);
      setImmediate(() =>
        logger().error(`Messages cannot be stored: ${cause}; sessions and retained messages on disk cannot be read`, { folder: dataPath }),
      );
      this.#timer = setInterval(() => {
        try {
          new MessageDisk(dataPath).close();
        } catch {
          return;
        }
        onReadable('messages.db can be read again');
      }, OPEN_RETRY_MS);
      return null;
    }
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#recovery?.close();
    this.disk?.close();
  }
}
