/** A limit of time for the many values of one property. */

/**
 * A property that holds of itself once `limitMs` are over: a busy machine tries fewer values. fast-check's own limit
 * (`interruptAfterTimeLimit`) abandons the value that is being tried, whose run then disturbs the next test with its mocks and buffers.
 * @param limitMs milliseconds from this call on
 */
export function inTime<Values extends unknown[]>(
  limitMs: number,
  property: (...values: Values) => Promise<void>,
): (...values: Values) => Promise<void> {
  // not performance.now(), which tests replace
  const end = process.hrtime.bigint() + BigInt(limitMs) * 1_000_000n;
  return async (...values) => {
    if (process.hrtime.bigint() < end) await property(...values);
  };
}
