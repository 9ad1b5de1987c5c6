/** The counts of a link since it was made. */

export interface LinkCounts {
  /** frames of data, without repetitions */
  sent: number;
  /** frames of data that were sent again */
  resent: number;
  /** frames of data that came in order, each once */
  received: number;
  /** frames of data that had come before */
  duplicate: number;
  /** frames of another session: of an earlier life, or late */
  late: number;
  /** frames behind a gap that exceeded the window: they are sent again */
  overflowed: number;
  /** bytes that are no frame */
  invalid: number;
  /** packets that write() refused */
  refused: number;
  /** packets of ended sessions that were written and not acknowledged */
  unacknowledged: number;
  /** sessions that ended */
  ended: number;
  /** bytes of frames given to the transport, repetitions and reports too */
  bytesSent: number;
  /** bytes of valid frames */
  bytesReceived: number;
  /** smoothed round-trip time, ms; 0 before the first */
  rttMs: number;
}

export function noCounts(): LinkCounts {
  return {
    sent: 0,
    resent: 0,
    received: 0,
    duplicate: 0,
    late: 0,
    overflowed: 0,
    invalid: 0,
    refused: 0,
    unacknowledged: 0,
    ended: 0,
    bytesSent: 0,
    bytesReceived: 0,
    rttMs: 0,
  };
}
