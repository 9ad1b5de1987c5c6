/** The identity of a request's sender. */

import type { Role } from '../../endpoint/admins/admin.ts';

export interface Login {
  name: string;
  role: Role;
}
