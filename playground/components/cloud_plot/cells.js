/**
 * Voronoi cells, exactly: the cell of mean k is the box cut by the half-planes |x − μ_k| ≤ |x − μ_j|, one for every other mean
 * (Sutherland & Hodgman 1974, clipping a convex polygon). Of coincident means the lowest index has the cell, as in the
 * assignment.
 */

/** Keeps the part of a convex polygon where nx·x + ny·y ≤ c. */
function cut(polygon, nx, ny, c) {
  const kept = [];
  polygon.forEach((p, i) => {
    const q = polygon[(i + 1) % polygon.length];
    const a = nx * p[0] + ny * p[1] - c;
    const b = nx * q[0] + ny * q[1] - c;
    if (a <= 0) kept.push(p);
    if (a < 0 ? b > 0 : a > 0 && b < 0) {
      const t = a / (a - b);
      kept.push([p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])]);
    }
  });
  return kept;
}

/**
 * The cells of `places` ([[x, y], …]) within the box from (0, 0) to (width, height): one polygon each, empty where nothing is
 * left.
 */
export function voronoi(places, width, height) {
  const box = [
    [0, 0],
    [width, 0],
    [width, height],
    [0, height],
  ];
  return places.map(([ax, ay], k) => {
    if (!Number.isFinite(ax + ay)) return [];
    let cell = box;
    places.forEach(([bx, by], j) => {
      if (j === k || !Number.isFinite(bx + by) || !cell.length) return;
      const [nx, ny] = [bx - ax, by - ay];
      if (nx === 0 && ny === 0) cell = j < k ? [] : cell;
      else cell = cut(cell, nx, ny, (nx * (ax + bx) + ny * (ay + by)) / 2);
    });
    return cell;
  });
}
