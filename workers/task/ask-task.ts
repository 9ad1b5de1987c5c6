/** Entry of the asking thread: one question to an authenticator per task, many at one time. */

import { Askers } from './asking/askers.ts';

const askers = new Askers();

// piscina calls a module's default export.
export default askers.ask.bind(askers);
