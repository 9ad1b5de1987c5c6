/** Loaded into every thread of a broker under test by `--import`: the machine has as little memory as `MACHINE_BYTES` says. Production code knows nothing of it. */

const bytes = Number(process.env['MACHINE_BYTES']);
process.constrainedMemory = () => bytes;
