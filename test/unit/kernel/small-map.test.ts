/** A SmallMap is a Map, whatever is done with it. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SmallMap } from '../../../src/kernel/small-map.ts';

const operations = fc.array(
  fc.record({ isDelete: fc.boolean(), key: fc.constantFrom('a', 'b', 'c', undefined), value: fc.constantFrom(1, 2, undefined) }),
  { maxLength: 30 },
);

test('behaves as a Map', () => {
  fc.assert(
    fc.property(operations, (steps) => {
      const small = new SmallMap<string | undefined, number | undefined>();
      const map = new Map<string | undefined, number | undefined>();
      for (const { isDelete, key, value } of steps) {
        if (isDelete) expect(small.delete(key)).toBe(map.delete(key));
        else {
          small.set(key, value);
          map.set(key, value);
        }
        expect(small.size).toBe(map.size);
        for (const each of ['a', 'b', 'c', undefined]) {
          expect(small.has(each)).toBe(map.has(each));
          expect(small.get(each)).toBe(map.get(each));
        }
        const seen: [unknown, unknown][] = [];
        small.forEach((entry, name) => {
          seen.push([name, entry]);
        });
        expect(seen).toEqual([...map]);
        expect(small.keys()).toEqual([...map.keys()]);
      }
    }),
  );
});
