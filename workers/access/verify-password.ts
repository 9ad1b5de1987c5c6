/** Compares a password with its stored form, in constant time where it matters (SPEC.md section 6). */

import { FluxError } from '../../src/kernel/errors.ts';
import type { VerifyJob } from '../../src/thread/messages.ts';

export async function verifyPassword(_job: VerifyJob): Promise<boolean> {
  throw new FluxError('internal', 'being built');
}
