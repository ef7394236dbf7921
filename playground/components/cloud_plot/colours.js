/**
 * The colours of a plot, read from the page's tokens, and the colour of each point: the mix Σ_k r_ik c_k of the components'
 * colours by its responsibilities. Colours are mixed as squares of their bytes (close to linear light), so that a half-and-half
 * point is not muddy.
 */
import { colour } from "../lib/dom.js";
import { hard, logJoint, nearest, responsibilities } from "../lib/gaussians.js";

const TOKENS = ["ink", "soft", "line", "card", "bg", "hover", "x", "z", "q", "p", "kl", "hot"];

/** The three bytes of a colour as CSS writes it. */
export function bytesOf(css) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = css; // read back as #rrggbb
  const value = parseInt(context.fillStyle.slice(1, 7), 16) || 0;
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** All tokens as they are where `element` stands: `palette.ink`, `palette.classes[k % 10]`, `palette.bytes("x")`. */
export function palette(element) {
  const found = Object.fromEntries(TOKENS.map((token) => [token, colour(element, token)]));
  const classes = Array.from({ length: 10 }, (_, k) => colour(element, `c${k}`));
  return {
    ...found,
    classes,
    classBytes: classes.map(bytesOf),
    bytes: (token) => bytesOf(found[token]),
    /** The colour of component k of a model of this kind: a single model wears the colour of p. */
    component: (kind, k) => (kind === "gmm" || kind === "kmeans" ? classes[k % 10] : found.p),
  };
}

/**
 * Whose points are whose: `{ k, share }` with share a Float64Array(n·k) of responsibilities (one-hot where the assignment is
 * hard), or null while points belong to no one. `assigned` stands before `mixture`: after an M step points keep the colours of
 * the E step.
 */
export function shares(cloud, state) {
  if (!state || !state.colours || (state.kind !== "gmm" && state.kind !== "kmeans")) return null;
  const model = state.assigned ?? state.mixture;
  if (!model || model.d !== cloud.d) return null;
  const { d, k } = model;
  const n = cloud.points.length / d;
  if (state.kind === "gmm") {
    if (state.assignment === "hard") return { k, share: hard(logJoint(model, cloud.points, n), n, k) };
    return { k, share: responsibilities(model, cloud.points, n) };
  }
  const winner = nearest(model.means, k, d, cloud.points, n); // (n,)
  const share = new Float64Array(n * k);
  for (let i = 0; i < n; i++) share[i * k + winner[i]] = 1;
  return { k, share };
}

/** Three bytes a point, Uint8Array(3n): mixed by `owned` (from `shares`), or one `plain` colour for all. */
export function pointColours(n, owned, colours, plain) {
  const rgb = new Uint8Array(3 * n);
  if (!owned) {
    for (let i = 0; i < 3 * n; i++) rgb[i] = plain[i % 3];
    return rgb;
  }
  const { k, share } = owned;
  const squares = new Float64Array(3 * k);
  for (let j = 0; j < 3 * k; j++) squares[j] = colours.classBytes[Math.floor(j / 3) % 10][j % 3] ** 2;
  for (let i = 0; i < n; i++) {
    let [r, g, b] = [0, 0, 0];
    for (let j = 0; j < k; j++) {
      const w = share[i * k + j];
      if (!(w > 0)) continue;
      r += w * squares[3 * j];
      g += w * squares[3 * j + 1];
      b += w * squares[3 * j + 2];
    }
    rgb[3 * i] = Math.sqrt(r) + 0.5;
    rgb[3 * i + 1] = Math.sqrt(g) + 0.5;
    rgb[3 * i + 2] = Math.sqrt(b) + 0.5;
  }
  return rgb;
}
