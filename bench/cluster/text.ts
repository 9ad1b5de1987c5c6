/** The results of a cluster as a section of bench/README.md. */

import { type ClusterResult, FIGURE_HEAD, figureRow } from './figures.ts';

/** A heading, a table, and the circumstances of each scenario. */
export function clusterText(results: readonly ClusterResult[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return results.flatMap(({ scenario, title, date, commit: at, loadAverage, figures, refusals }) => [
    `### ${scenario}: ${title}`,
    '',
    line(FIGURE_HEAD),
    '|---|---|---:|---|---|',
    ...figures.map((figure) => line(figureRow(figure))),
    ...Object.entries(refusals).map(([broker, reason]) => line([broker, `— ${reason}`, '', '', ''])),
    '',
    `${date.slice(0, 10)}, commit ${at}, load average ${loadAverage.toFixed(1)}`,
    '',
  ]);
}
