/**
 * Loaded into every thread of a broker under test: the wall clock stands still at `KIT_CLOCK` (milliseconds since the epoch), as on a
 * machine without a clock of its own.
 */

const AT = Number(process.env['KIT_CLOCK']);
const RealDate = Date;

class FrozenDate extends RealDate {
  constructor(...given: [] | [number | string | Date]) {
    super(given.length === 0 ? AT : given[0]);
  }

  static override now(): number {
    return AT;
  }
}

globalThis.Date = FrozenDate as DateConstructor;
