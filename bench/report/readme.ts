/** Writes bench/README.md: how to read the figures, and the latest figures. */

import type { ClusterResult } from '../cluster/figures.ts';
import { clusterText } from '../cluster/text.ts';
import type { Results } from './results.ts';
import { markdownRows, ratios, rowsOf } from './table.ts';

const HOW = `# Benchmarks

\`npm run bench\` runs every scenario against fluxmq and against every other broker that it finds or can install: mosquitto and nats-server
from Debian, aedes from npm, and FlashMQ when it is on the \`PATH\` (its adapter has not been run yet).
\`npm run bench -- --quick\` runs a subset in less than three minutes; \`--only pairs,fanout\` and \`--peers fluxmq,mosquitto\` select.
\`npm run bench:micro\` measures single functions, and the CPU of a 40 KB frame between two nodes (plain publish beside a link). Each scenario of a run that is not quick rewrites this file when it ends; \`--only\` replaces
single scenarios in it. \`npm run bench -- --only cluster\` measures [clusters](#clusters), which no other run does.

## How to read the figures

- **per CPU-s** is the figure to compare: messages delivered to subscribers per second of CPU time (user and system, all threads) of the
  broker process. It does not depend on the speed of the load generator. It is the median of the repetitions; **spread** is the lowest and the
  highest. For \`storm\` it counts connections. For \`idle\` the growth of resident memory per connection stands under RSS.
- **rate** is the number of messages delivered per second on one CPU. A \`!\` behind **load CPU** means that the load generator used more CPU than
  the broker: the rate is then a lower bound.
- **p50, p99, p99.9** are shown for messages sent by a schedule (\`rate\` scenarios, sparse), for window 1, and for connects. A scheduled
  message carries its due time: a broker (or a machine) that stalls cannot hide the delay. A timer of 1 ms keeps the schedule, which adds
  about half a millisecond for every broker. In a closed loop the window decides the latency, so none is shown.
- **calls/msg** are system calls of the broker (all threads) per delivered message, for \`storm\` per connection. strace counts them in a short
  run of its own while messages flow. strace slows a broker down, which makes it batch more. \`--no-syscalls\` skips these runs.
- **worst block** is the longest time without a poll of the sockets in an endpoint worker of fluxmq, over all runs, from its start to its end.
  The workers measure it themselves (\`fluxmq_worker_event_loop_*\` in the metrics), and the figure is at most 10 ms too high. \`!\` marks more
  than 50 ms, followed by the number of such blocks. Time without CPU counts too: on a machine with other work the figure says nothing
  about the broker. The other brokers do not report such a figure.
- **workers-N**: the kernel spreads the connections over the workers at random. The share of messages that crossed between workers is
  counted and shown below the table.
- **subscribe-storm** publishes by a schedule while ten more clients connect and send ten SUBSCRIBE of 100 new filters each, all at once.
- **checks**: each message carries its publisher and a number. Lost, repeated and reordered messages are counted in every run.
- A measurement begins after a warm-up of 0.6 s, or of 2.4 s with a fixed rate and in a storm. Brokers on Node compile frequently used code
  while it runs, and 0.6 s of little traffic are not enough. These figures do not show how much slower they start.
- Every run has a fresh broker process on CPU 0 and a fresh load generator on CPU 1. The brokers take turns within a scenario.
- The load generator refills a window when a quarter of it is free, reads in large pieces, and writes once per socket and loop iteration. A
  broker that batches gains from large windows. \`window-1\`, \`sparse\` and the \`rate\` scenarios leave nothing to batch: the system calls,
  which are the same for all, decide there, and the brokers are close together.
- **load average** shows how busy the machine was. At two or less the benchmark had the machine for itself. Above that, other work took CPU time
  from broker and load generator. All figures are then lower, most of all those of a broker that relies on batches, because a generator without
  CPU time sends smaller ones. **CPU** far below 1.00 in a scenario without a rate means the same.
- Each broker has its default settings. TCP_NODELAY differs, as the table below shows: with Nagle's algorithm a broker saves system work in the
  kernel when it writes small pieces, and pays with latency.
`;

const CLUSTER_HOW = `## Clusters

\`npm run bench -- --only cluster\` takes 15 minutes or more; \`--only cluster-qos1,cluster-connect\` selects, \`--peers fluxmq,rabbitmq\` too. It measures fluxmq with core
NATS between its nodes beside two mosquittos with a bridge, nats-server's own MQTT on three servers, and RabbitMQ with its MQTT plugin on two nodes
(Debian's \`rabbitmq-server\`, if it is installed). A broker is absent where it cannot do a scenario.

- Each figure has its comparison in the same run: *local* is publisher and subscriber at one node of the same cluster, *alone* one node without a
  cluster, and both take turns with the crossing. Compare ratios within a table. Milliseconds and messages per second depend on what else the machine does.
- CPU is that of whole processes (user and system, all threads) for each delivered message or connection, node by node, and of the NATS servers apart. The brokers
  are not pinned to CPUs.
- Each message carries its publisher and a number; a run that loses, repeats or reorders one is not shown but named as failed.
- What a PUBACK means differs: with fluxmq each interested node has the message, with a bridge only the first broker has it.
- On a machine with other work (load average under each table) threads wait for a CPU at each of the four hops of a crossing message. The windows run out
  then, thousands of messages wait for acknowledgements, and keeping and collecting them costs the publisher's thread most of its time. Caches are cold
  and compilation is late. Milliseconds say little.
- *demand* is what fluxmq must reach; the other brokers are shown without one.
`;

export function readme(results: Results, cluster: readonly ClusterResult[]): string {
  const { machine, peers, scenarios } = results;
  const lines = [
    HOW,
    '## Latest results',
    '',
    `${machine.cpus} × ${machine.cpu}, ${Math.round(machine.memoryBytes / 2 ** 30)} GB, Linux ${machine.kernel}, Node.js ${machine.node}${machine.isPinned ? '' : ', not pinned'}.`,
    '',
    '| broker | version | TCP_NODELAY | persistence | settings |',
    '|---|---|---|---|---|',
    ...peers.map(
      ({ name, version, settings }) => `| ${name} | ${version} | ${settings.tcpNoDelay} | ${settings.persistence} | ${settings.other} |`,
    ),
    '',
  ];
  for (const result of scenarios) {
    lines.push(
      `### ${result.scenario.name}: ${result.scenario.title}`,
      '',
      `![${result.scenario.name}](results/${result.scenario.name}.svg)`,
      '',
    );
    lines.push(markdownRows(rowsOf(result)), '');
    const { date, commit, repetitions, seconds, loadAverage } = result;
    lines.push(
      `${date.slice(0, 10)}, commit ${commit}, ${repetitions} repetitions of ${seconds} s, load average ${loadAverage.toFixed(1)}`,
      '',
    );
    if (ratios(result) !== '') lines.push(`${ratios(result)}`, '');
  }
  lines.push(CLUSTER_HOW, ...clusterText(cluster));
  return `${lines.join('\n').trimEnd()}\n`;
}
