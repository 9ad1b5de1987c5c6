/** Decides what one client may publish and subscribe (SPEC.md section 6). */

import type { AclConfig } from '../../src/endpoint/endpoint.ts';
import { FluxError } from '../../src/kernel/errors.ts';

export interface AclSubject {
  clientId: string;
  username: string | null;
  ip: string;
}

export class Authoriser {
  constructor(_acl: AclConfig, _who: AclSubject) {}

  mayPublish(_topic: string): boolean {
    throw new FluxError('internal', 'being built');
  }

  maySubscribe(_filter: string): boolean {
    throw new FluxError('internal', 'being built');
  }
}
