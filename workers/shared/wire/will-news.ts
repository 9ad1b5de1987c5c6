/** Controls between session workers of different nodes about wills, in order: see workers/host/cluster/wills/. */

/** A connection: its client identifier, and the stamp of the claim that let it in. */
export interface WillName {
  namespace: string;
  clientId: string;
  stamp: number;
}

export type WillNews =
  /** what comes from now on is of this process of the sender, and it names again all wills that the receiver is to keep */
  | { t: 'will-holder'; process: number }
  /** the receiver publishes the will if the sender dies */
  | ({ t: 'will-keep' } & WillToKeep)
  /** the will is published, or is not due any more */
  | ({ t: 'will-drop' } & WillName)
  /** these wills were published, because their nodes seemed to have died. `isLast`: all that the sender knows are named; answers `will-holder` */
  | { t: 'will-told'; published: PublishedWill[]; isLast: boolean };

export interface PublishedWill extends WillName {
  /** node of the client */
  node: string;
}

export interface WillToKeep extends WillName {
  /** as in Claim */
  user: string | null;
  /** the sender's disk has the will too */
  isDurable: boolean;
  /** Will Delay Interval, ms */
  delayMs: number;
  /** the will itself, in text */
  body: string;
}
