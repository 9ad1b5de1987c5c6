/** The identity of a request's sender. */

export interface Login {
  name: string;
  /** a viewer may only GET */
  role: 'admin' | 'viewer';
}
