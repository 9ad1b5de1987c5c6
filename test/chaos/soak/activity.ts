/** The contract of an activity of a soak, which repeats its round until the soak ends. */

import { messageOf } from '../../../src/kernel/errors.ts';
import type { Broker } from '../../kit/broker.ts';

/** Where the activities of a soak find the broker. */
export interface Field {
  broker: Broker;
  /** MQTT over TCP, two threads, durable sessions */
  tcp: number;
  /** MQTT over WebSocket, same namespace */
  ws: number;
  /** endpoint that changes all the time */
  changing: number;
}

/** One round of an activity, which leaves no client behind. @throws Error when the broker misbehaved */
export type Round = (field: Field, round: number) => Promise<void>;

/** Counts of rounds, and the first failures, of one activity. */
export interface ActivityReport {
  rounds: number;
  failed: number;
  failures: string[];
}

const FAILURES_MAX = 5;

/** Repeats a round, one after the other, until `isOver`. */
export async function repeat(field: Field, round: Round, isOver: () => boolean): Promise<ActivityReport> {
  const report: ActivityReport = { rounds: 0, failed: 0, failures: [] };
  while (!isOver()) {
    try {
      await round(field, report.rounds);
    } catch (error) {
      report.failed++;
      if (report.failures.length < FAILURES_MAX) report.failures.push(messageOf(error));
    }
    report.rounds++;
  }
  return report;
}
