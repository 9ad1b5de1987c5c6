/** Entry of the access pool's threads: one password check per task. */

import { verifyPassword } from './verify-password.ts';

// piscina calls a module's default export.
export default verifyPassword;
