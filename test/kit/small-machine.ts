/**
 * Loaded into every thread of a broker under test by `--import`: the machine has only `MACHINE_BYTES` of memory. Production code does not
 * know this file.
 */

const bytes = Number(process.env['MACHINE_BYTES']);
process.constrainedMemory = () => bytes;
