/** Entry of the access pool's threads: one password check a task. */

import { verifyPassword } from './verify-password.ts';

// piscina calls a module's default export.
export default verifyPassword;
