/** The wire below the links: carries frames to other nodes, and may lose, double, delay and reorder them. */

export interface LinkTransport {
  /**
   * Sends a frame to a node, or to nobody when that node is not there. The frame may change after the current turn of the event loop.
   * @param frame at most FRAME_BYTES_MAX
   * @returns false when the transport did not take it: it has no connection, or too many bytes wait to be sent. The link repeats it.
   */
  send(node: string, frame: Uint8Array): boolean;
  /** @param listener gets the name of the sender, and a frame that is valid during the call only */
  onFrame(listener: (node: string, frame: Uint8Array) => void): void;
  /** Called at once and at each change. Frames may have been lost in either direction around each change. */
  onState(listener: (isConnected: boolean) => void): void;
  /** Idempotent. */
  close(): Promise<void>;
}
