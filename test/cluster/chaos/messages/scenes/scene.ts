/** One kind of client, with what it does until it is stopped and what must be true of it afterwards. */

export interface Scene {
  /** Runs until stop(). Never throws: what is wrong becomes a fault. */
  run(): Promise<void>;
  stop(): void;
  /** Called when all nodes are linked, and all publishers have stopped. */
  judge(): Promise<void>;
  /** Ends its clients. */
  end(): void;
}
