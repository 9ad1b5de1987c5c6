/** A request that comes as a message over a bus, and its answer: what the API is asked and says where there is no HTTP. */

export interface Message {
  /** the operation, as `add` */
  readonly name: string;
  /** of a read: its parameters; else what HTTP has as body */
  readonly body: Uint8Array;
  /** names in lower case */
  readonly headers: ReadonlyMap<string, string>;
  /** a larger body of an answer cannot be sent */
  readonly answerBytesMax: number;
}

export interface MessageAnswer {
  /** what HTTP has as body */
  readonly body: string;
  /** names in lower case */
  readonly headers: Readonly<Record<string, string>>;
  /** status and message of an answer that is no success */
  readonly failure: { readonly code: number; readonly message: string } | null;
}
