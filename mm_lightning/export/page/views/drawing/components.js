// The first two principal components of rows of numbers.

const MAX_ROUNDS = 1000;
const TOLERANCE = 1e-12;

function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

/** Find the direction of the largest variance of a covariance matrix by power iteration. */
function mainDirection(matrix) {
  const diagonal = matrix.map((row, i) => row[i]);
  let direction = matrix[diagonal.indexOf(Math.max(...diagonal))]; // not at a right angle to the main one, but by chance
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const next = matrix.map((row) => dot(row, direction));
    const norm = Math.hypot(...next);
    if (!(norm > 0)) return { direction: direction.map(() => 0), variance: 0 };
    const unit = next.map((value) => value / norm);
    const change = Math.hypot(...unit.map((value, i) => value - direction[i]));
    direction = unit;
    if (change < TOLERANCE) break;
  }
  return { direction, variance: dot(direction, matrix.map((row) => dot(row, direction))) };
}

/** Points of rows in two dimensions, and the share of the variance that they show; rows of two are left as they are. */
export function inTwoDimensions(rows) {
  const width = rows[0].length;
  if (width <= 2) return { points: rows.map((row) => [row[0], row[1] ?? 0]), share: null };
  const means = rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
  const centred = rows.map((row) => row.map((value, i) => value - means[i]));
  const matrix = means.map((_, i) => means.map((_unused, j) => centred.reduce((sum, row) => sum + row[i] * row[j], 0)));
  const total = matrix.reduce((sum, row, i) => sum + row[i], 0);
  const first = mainDirection(matrix);
  const rest = matrix.map((row, i) => row.map((v, j) => v - first.variance * first.direction[i] * first.direction[j]));
  const second = mainDirection(rest);
  const points = centred.map((row) => [dot(row, first.direction), dot(row, second.direction)]);
  return { points, share: total > 0 ? (first.variance + second.variance) / total : 1 };
}
