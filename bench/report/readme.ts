/** bench/README.md: how to read the figures, and the latest ones. */

import type { Results } from './results.ts';
import { markdownRows, ratios, rowsOf } from './table.ts';

const HOW = `# Benchmarks

\`npm run bench\` runs every scenario against fluxmq and every other broker that it finds or can install (mosquitto and nats-server from
Debian, aedes from npm; FlashMQ when it is on the \`PATH\`, its adapter has not been run yet). \`npm run bench -- --quick\` is a subset that takes less than three minutes, \`--only pairs,fanout\` and
\`--peers fluxmq,mosquitto\` choose. \`npm run bench:micro\` measures single functions. This file is written after
each scenario of a run that is not quick; \`--only\` replaces single scenarios in it.

## How to read the figures

- **per CPU-s** is the figure to compare: messages delivered to subscribers per second of CPU time (user and system, all threads) that the
  broker process used. It does not depend on how fast the load generator is. It is the median of the repetitions; **spread** is the lowest
  and the highest. For \`storm\` it counts connections, for \`idle\` the growth of resident memory per connection stands under RSS.
- **rate** is what came out per second on one CPU. A \`!\` behind **load CPU** says that the load generator used more CPU than the broker:
  then the rate is a lower bound of what the broker could do.
- **p50, p99, p99.9** are shown where messages go by a schedule (\`rate\` scenarios, sparse), with window 1, and for connects. A scheduled
  message is stamped with the time at which it was due: a broker (or a machine) that stalls cannot hide it. The schedule is kept with a
  timer of 1 ms, so all brokers get about half a millisecond that is not theirs. In a closed loop the window decides the latency: left out.
- **calls/msg** are system calls of the broker (all threads) per delivered message, for \`storm\` per connection, counted by strace in a short
  run of its own while messages flow. It slows a broker down, which makes it batch more. \`--no-syscalls\` leaves these runs out.
- **worst block** is the longest time for which an endpoint worker of fluxmq did not look at its sockets in any of the runs, from its start
  to its end: the workers measure it themselves (\`fluxmq_worker_event_loop_*\` in the metrics), and the figure is at most 10 ms too high.
  \`!\` says that it was over 50 ms, the number behind it how often. The time for which the machine gave the thread no CPU counts: on a machine
  with other work it says nothing about the broker. The other brokers do not tell theirs.
- **workers-N**: the kernel spreads the connections over the workers by chance; the share of the messages that crossed is counted and stands below.
- **subscribe-storm** publishes by a schedule while ten more clients come, each with ten SUBSCRIBE of 100 new filters at once.
- **checks**: each message carries its publisher and a number. Lost, repeated and reordered ones are counted in every run.
- What is measured begins after a warm-up of 0.6 s; where a rate is kept, and in a storm, of 2.4 s: brokers that run on Node compile what they do
  often while they do it, and after 0.6 s of little traffic they are not done. How much slower they begin is not shown here.
- Every run has a fresh broker process on CPU 0 and a fresh load generator on CPU 1. The brokers take turns within a scenario.
- The load generator refills a window when a quarter of it is free, reads in large pieces, and writes once per socket and loop iteration. A
  broker that batches gains from large windows. \`window-1\`, \`sparse\` and the \`rate\` scenarios leave nothing to batch: there the system
  calls, which are the same for all, decide, and the brokers are close together.
- **load average** says how busy the machine was. Two or less: the benchmark had it for itself. More: other work took CPU time from broker
  and load generator, which makes all figures lower and those of a broker that lives from batches most of all (the generator, starved,
  sends smaller ones). **CPU** far below 1.00 in a scenario without a rate says the same.
- Settings are the defaults of each broker. TCP_NODELAY differs, as said below: with Nagle's algorithm a broker saves system work in the
  kernel when it writes small pieces, and pays with latency.
`;

export function readme(results: Results): string {
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
  return `${lines.join('\n').trimEnd()}\n`;
}
