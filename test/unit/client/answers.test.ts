/** Acknowledgements leave in the order of their publishes, whatever order the disk has [MQTT-4.6.0-2, MQTT-4.6.0-3]. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Answers } from '../../../workers/endpoint/client/publish/answers.ts';

test('each is sent once all earlier ones are, and none later than that', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true }), { maxLength: 30 }), (when) => {
      const answers = new Answers();
      const sent: number[] = [];
      const places = when.map(() => answers.take());
      const order = when.map((_, i) => i).toSorted((a, b) => when[a]! - when[b]! || a - b);
      const ready = new Set<number>();
      for (const i of order) {
        ready.add(i);
        answers.send(places[i]!, () => sent.push(i));
        let first = 0;
        while (ready.has(first)) first++;
        expect(sent).toEqual(when.map((_, at) => at).slice(0, first));
      }
      expect(answers.isEmpty).toBe(true);
    }),
  );
});
