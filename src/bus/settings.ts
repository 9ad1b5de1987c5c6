/** What the bus must know to find its servers and to be let in. */

export interface BusCredentials {
  user: string | null;
  password: string | null;
  token: string | null;
  /** absolute path of a NATS credentials file */
  credsFile: string | null;
  /** paths of PEM files; null: no TLS unless the server asks for it */
  tls: { ca: string | null; crt: string | null; key: string | null } | null;
}

/** Where NATS servers are: fixed addresses, or the DNS records of a service. */
export type BusPlace =
  | { kind: 'addresses' /** `host:port` */; addresses: string[] }
  | {
      kind: 'dns';
      service: string;
      namespace: string;
      /** where the records name none */
      port: number;
      /** `address` or `address:port`; empty: those of the system */
      dnsServers: string[];
    };

export interface BusSettings {
  place: BusPlace;
  credentials: BusCredentials;
}
