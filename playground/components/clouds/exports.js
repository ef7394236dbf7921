/** What can be taken away: the points, what each model says of them, and the whole as JSON. */
import { hard, logJoint, logProb, nearest, responsibilities } from "../lib/gaussians.js";
import { mixtureAt, within } from "./runs.js";

const cell = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
const table = (names, rows) => `${names.map(cell).join(",")}\n${rows.map((row) => row.join(",")).join("\n")}\n`;
const rowsOf = ({ points, d, n }) => Array.from({ length: n }, (_, i) => Array.from(points.subarray(i * d, (i + 1) * d)));

/** The points, a row each under the names of their coordinates. */
export const pointsCsv = (cloud) => table(cloud.names, rowsOf(cloud));

/** The points with each model's say: the component they belong to (from 1), their shares, and log p(x) in nats. */
export function resultsCsv(cloud, runs, frame) {
  const names = [...cloud.names];
  const rows = rowsOf(cloud);
  const add = (name, value) => {
    names.push(name);
    rows.forEach((row, i) => row.push(value(i)));
  };
  for (const [model, run] of Object.entries(runs)) {
    const mixture = mixtureAt(run, within(run, frame));
    if (!mixture) continue;
    if (model === "kmeans") {
      const own = nearest(mixture.means, mixture.k, mixture.d, cloud.points, cloud.n);
      add("kmeans_cluster", (i) => own[i] + 1);
      continue;
    }
    if (model === "gmm") {
      const joint = logJoint(mixture, cloud.points, cloud.n);
      const one = hard(joint, cloud.n, mixture.k);
      const shares = responsibilities(mixture, cloud.points, cloud.n);
      add("gmm_component", (i) => one.subarray(i * mixture.k, (i + 1) * mixture.k).indexOf(1) + 1);
      for (let k = 0; k < mixture.k; k++) add(`gmm_share_${k + 1}`, (i) => shares[i * mixture.k + k]);
    }
    const value = logProb(mixture, cloud.points, cloud.n);
    add(`${model}_log_prob`, (i) => value[i]);
  }
  return table(names, rows);
}

/** Settings, points and the parameters of every model at the frame shown. */
export function whole(settings, cloud, runs, frame) {
  const results = Object.entries(runs).map(([model, run]) => {
    const at = within(run, frame);
    const mixture = mixtureAt(run, at);
    const { phases, log_likelihood, inertia, free_energy, criteria, converged, bandwidth, axes } = run;
    return [model, {
      phase: phases[at], frames: phases.length, converged, log_likelihood, inertia, free_energy, criteria, bandwidth, axes,
      ...(mixture ? { weights: Array.from(mixture.weights), means: Array.from(mixture.means), covariances: Array.from(mixture.covariances) } : {}),
    }];
  });
  return JSON.stringify({ settings, names: cloud.names, points: rowsOf(cloud), frame, results: Object.fromEntries(results) }, null, 1);
}
