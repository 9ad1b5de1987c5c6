/** The two lengths of a test run: `npm test` tests each promise; `npm run test:long` adds the files `*.long.test.ts`, and repeats more in others. */

export const isLong = process.env['TEST_LENGTH'] === 'long';

/** @param usual for `npm test` @param long for `npm run test:long` */
export function longer<T>(usual: T, long: T): T {
  return isLong ? long : usual;
}
