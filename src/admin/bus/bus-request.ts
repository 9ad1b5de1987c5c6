/** A request to the API over a bus, and its answer. */

export interface BusRequest {
  /** the operation, such as `add` */
  readonly name: string;
  /** the parameters of a read; otherwise the body of the HTTP request */
  readonly body: Uint8Array;
  /** names in lower case */
  readonly headers: ReadonlyMap<string, string>;
  /** largest body of an answer, bytes */
  readonly answerBytesMax: number;
}

export interface BusAnswer {
  /** the body of the HTTP answer */
  readonly body: string;
  /** names in lower case */
  readonly headers: Readonly<Record<string, string>>;
  /** status and message of a failure; null for a success */
  readonly failure: { readonly code: number; readonly message: string } | null;
}
