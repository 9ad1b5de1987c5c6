/** Who a request comes from. */

export interface Login {
  name: string;
  /** a viewer may only GET */
  role: 'admin' | 'viewer';
}
