/** The subjects on the bus; the first word is the cluster's name. */

/** Questions about the clients of a node; a node of 0.1 does not know them. */
export type ClientQuestion = 'clients' | 'clients-describe' | 'clients-find' | 'clients-close';

/** Subjects between the nodes of one cluster. */
export interface Subjects {
  /** heartbeat of each node: its name, and the revision that it runs */
  readonly heartbeat: string;
  /** a node that starts asks the others for a heartbeat */
  readonly hello: string;
  /** a node that shuts down in order */
  readonly bye: string;
  /** revision N is in the store */
  readonly announce: string;
  /** receipt: how a node applied revision N */
  readonly receipt: string;
  /** requests to one node: `<node>` is its incarnation */
  node(incarnation: string, what: 'prepare' | 'check-port' | 'status' | 'probe' | 'documents' | ClientQuestion): string;
  /** has a listener, which ignores all it gets, while the process with this number (processNumber()) lives */
  alive(process: number): string;
  /** events for everybody: `endpoint.added`, `node.up`, … */
  event(name: string): string;
  /** prefix of the operations served for automation */
  readonly operations: string;
}

export function subjectsOf(cluster: string): Subjects {
  return {
    heartbeat: `${cluster}.internal.heartbeat`,
    hello: `${cluster}.internal.hello`,
    bye: `${cluster}.internal.bye`,
    announce: `${cluster}.internal.announce`,
    receipt: `${cluster}.internal.receipt`,
    node: (incarnation, what) => `${cluster}.internal.node.${incarnation}.${what}`,
    alive: (process) => `${cluster}.internal.alive.${process}`,
    event: (name) => `${cluster}.events.${name}`,
    operations: `${cluster}.endpoints`,
  };
}

/** Names that need no encoding to be one word of a subject. */
const PLAIN = /^[A-Za-z0-9_-]+$/;
/** Begins a word that stands for another name, in hexadecimal UTF-8. */
const CODED = '~';

/** The name of a node as one word of a subject: different for different names. */
export function wordOf(node: string): string {
  return PLAIN.test(node) ? node : `${CODED}${Buffer.from(node).toString('hex')}`;
}

/** The name of a node from such a word; null for a word that wordOf() never makes. */
export function nodeOfWord(word: string): string | null {
  if (!word.startsWith(CODED)) return PLAIN.test(word) ? word : null;
  const node = Buffer.from(word.slice(CODED.length), 'hex').toString();
  return wordOf(node) === word ? node : null;
}
