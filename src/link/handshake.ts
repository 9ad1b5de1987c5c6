/**
 * Two nodes agree on a session, which is a pair of epochs. Each side draws a new random epoch for each attempt, and a frame counts only when it
 * names both epochs. So a frame of an earlier process, or a late frame of an earlier session, never counts as a new frame.
 */

import { type FrameHead, KIND } from './frame.ts';

/** `confirming`: the other side may not know yet that its frames arrive. */
type HandshakeState = 'greeting' | 'confirming' | 'up';

/**
 * The meaning of a frame. `mine`: part of the session. `began`: the session has begun, or is complete. `replaced`: the other side has begun anew
 * and proved that it is alive, so the former session is over. `late`: part of no session. `challenge`, `confirm`: demands this answer.
 */
type Verdict = 'mine' | 'began' | 'replaced' | 'late' | 'challenge' | 'confirm';

export class Handshake {
  readonly #random32: () => number;
  #state: HandshakeState = 'greeting';
  #epoch: number;
  #peerEpoch = 0;
  /**
   * The session that a hello of another epoch would begin, while a session exists. A hello alone proves nothing, because it may be a late one of
   * an earlier process. An answer that names the new epoch proves that the sender is alive.
   */
  #candidate: { epoch: number; peerEpoch: number } | null = null;

  constructor(random32: () => number) {
    this.#random32 = random32;
    this.#epoch = this.#draw();
  }

  get state(): HandshakeState {
    return this.#state;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** 0 while greeting. */
  get peerEpoch(): number {
    return this.#peerEpoch;
  }

  /** Epoch for the challenge that answers a hello of this epoch. */
  epochFor(peerEpoch: number): number {
    return this.#candidate?.peerEpoch === peerEpoch ? this.#candidate.epoch : this.#epoch;
  }

  /** Ends the session; the next one has a new epoch. */
  restart(): void {
    this.#state = 'greeting';
    this.#epoch = this.#draw();
    this.#peerEpoch = 0;
    this.#candidate = null;
  }

  heard(head: FrameHead): Verdict {
    if (head.epoch === 0) return 'late';
    if (head.kind === KIND.hello) return this.#heardHello(head.epoch);
    if (head.kind === KIND.challenge) return this.#heardChallenge(head);
    const { epoch, toEpoch, kind } = head;
    if (this.#state !== 'greeting' && toEpoch === this.#epoch && epoch === this.#peerEpoch) {
      if (this.#state === 'up' || kind === KIND.bye) return 'mine';
      this.#state = 'up';
      return 'began';
    }
    if (kind === KIND.bye) return 'late';
    if (this.#state === 'greeting' && toEpoch === this.#epoch) return this.#begin(this.#epoch, epoch, 'began');
    const candidate = this.#candidate;
    if (candidate !== null && toEpoch === candidate.epoch && epoch === candidate.peerEpoch)
      return this.#begin(candidate.epoch, epoch, this.#state === 'up' ? 'replaced' : 'began');
    return 'late';
  }

  #heardHello(peerEpoch: number): Verdict {
    if (this.#state === 'greeting') return 'challenge';
    if (peerEpoch === this.#peerEpoch) return this.#state === 'confirming' ? 'confirm' : 'late';
    if (this.#candidate?.peerEpoch !== peerEpoch) this.#candidate = { epoch: this.#draw(), peerEpoch };
    return 'challenge';
  }

  #heardChallenge({ epoch, toEpoch }: FrameHead): Verdict {
    if (this.#state === 'up' || toEpoch !== this.#epoch) return 'late';
    this.#state = 'confirming';
    this.#peerEpoch = epoch;
    return 'confirm';
  }

  #begin(epoch: number, peerEpoch: number, verdict: 'began' | 'replaced'): Verdict {
    this.#state = 'up';
    this.#epoch = epoch;
    this.#peerEpoch = peerEpoch;
    this.#candidate = null;
    return verdict;
  }

  /** 1.., never the present one. */
  #draw(): number {
    for (;;) {
      const drawn = this.#random32() >>> 0;
      if (drawn !== 0 && drawn !== this.#epoch) return drawn;
    }
  }
}
