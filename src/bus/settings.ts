/** Settings of the bus: where its servers are, and which credentials they accept. */

export interface BusCredentials {
  user: string | null;
  password: string | null;
  token: string | null;
  /** absolute path of a NATS credentials file */
  credsFile: string | null;
  /** paths of PEM files; null: no TLS unless the server demands it */
  tls: { ca: string | null; crt: string | null; key: string | null } | null;
}

/** Where NATS servers are: fixed addresses, or the DNS records of a service. */
export type BusPlace =
  | { kind: 'addresses' /** `host:port` */; addresses: string[] }
  | {
      kind: 'dns';
      service: string;
      namespace: string;
      /** port for records that name none */
      port: number;
      /** `address` or `address:port`; empty: the servers of the system */
      dnsServers: string[];
    };

export interface BusSettings {
  place: BusPlace;
  credentials: BusCredentials;
}
