/**
 * Lines of equal height on a grid: marching squares (Lorensen and Cline 1987, in two dimensions), and the heights worth drawing:
 * those whose superlevel set holds a given share of the mass, {x: p(x) ≥ level} (the highest-density region; Hyndman 1996).
 */

// By the corners that are inside (1 lower left, 2 lower right, 4 upper right, 8 upper left): the edges that segments join
// (0 bottom, 1 right, 2 top, 3 left, "bottom" being the row of smaller index). 5 and 10 are saddles, resolved below.
const SEGMENTS = [[], [3, 0], [0, 1], [3, 1], [1, 2], [], [0, 2], [3, 2], [2, 3], [2, 0], [], [2, 1], [1, 3], [1, 0], [0, 3], []];
const JOINED = { 5: [3, 2, 1, 0], 10: [0, 3, 2, 1] }; // the two inside corners are one region
const APART = { 5: [3, 0, 1, 2], 10: [0, 1, 2, 3] };

/**
 * The line grid = level as a flat list of segments x0, y0, x1, y1. `grid`: height rows of width; the value at (column, row) stands
 * at x = column, y = row. A saddle's two corners are joined where the cell's mean is at least the level.
 */
export function contours(grid, width, height, level) {
  const out = [];
  for (let row = 0; row + 1 < height; row++) {
    for (let column = 0; column + 1 < width; column++) {
      const at = row * width + column;
      const [a, b, c, d] = [grid[at], grid[at + 1], grid[at + width + 1], grid[at + width]];
      const corners = (a >= level ? 1 : 0) | (b >= level ? 2 : 0) | (c >= level ? 4 : 0) | (d >= level ? 8 : 0);
      if (corners === 0 || corners === 15) continue;
      let edges = SEGMENTS[corners];
      if (corners === 5 || corners === 10) edges = ((a + b + c + d) / 4 >= level ? JOINED : APART)[corners];
      for (const edge of edges) {
        if (edge === 0) out.push(column + crossing(a, b, level), row);
        else if (edge === 1) out.push(column + 1, row + crossing(b, c, level));
        else if (edge === 2) out.push(column + crossing(d, c, level), row + 1);
        else out.push(column, row + crossing(a, d, level));
      }
    }
  }
  return out;
}

/** How far along an edge, from 0 at `from` to 1 at `to`, the level is met; half way where a height is infinite. */
function crossing(from, to, level) {
  const t = (level - from) / (to - from);
  return Number.isFinite(t) ? t : 0.5;
}

/**
 * For each share the density whose superlevel set holds that share of the grid's mass. `grid`: densities at the middles of cells of
 * `cellArea` (its unit cancels). A cell counts with half its mass at its own density: exact to second order in the cells' size.
 */
export function massLevels(grid, cellArea, shares) {
  const heights = Float64Array.from(grid).sort().reverse();
  let total = 0;
  for (let i = heights.length - 1; i >= 0; i--) total += heights[i] * cellArea; // the small ones first
  const wanted = Array.from(shares, (share, i) => [share * total, i]).sort((one, other) => one[0] - other[0]);
  const levels = new Array(shares.length).fill(0);
  let next = 0;
  let middle = 0; // the mass above heights[i], with half of its own cell
  let mass = 0;
  for (let i = 0; i < heights.length && next < wanted.length; i++) {
    const before = middle;
    middle = mass + (heights[i] * cellArea) / 2;
    mass += heights[i] * cellArea;
    while (next < wanted.length && middle >= wanted[next][0]) {
      const t = i && middle > before ? (wanted[next][0] - before) / (middle - before) : 1;
      levels[wanted[next][1]] = i ? heights[i - 1] + t * (heights[i] - heights[i - 1]) : heights[0];
      next++;
    }
  }
  return levels;
}
