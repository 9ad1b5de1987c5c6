/** Loaded into every thread of a broker under test: a machine without a clock of its own, on which it is the same moment at every start (`KIT_CLOCK`, milliseconds since the epoch). */

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
