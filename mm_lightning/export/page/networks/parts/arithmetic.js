// Products, activation functions and probabilities, in double precision.

/** Add the product of a matrix (rows, columns) and a vector to `result`: columns from `start`, as many as x has. */
export function addProduct(result, weight, x, start = 0) {
  const columns = weight.shape[1];
  const values = weight.values;
  const rows = result.length;
  const length = x.length;
  const even = length - (length % 4);
  for (let row = 0; row < rows; row++) {
    const at = row * columns + start;
    let a = 0; // four sums do not wait for each other
    let b = 0;
    let c = 0;
    let d = 0;
    for (let i = 0; i < even; i += 4) {
      a += values[at + i] * x[i];
      b += values[at + i + 1] * x[i + 1];
      c += values[at + i + 2] * x[i + 2];
      d += values[at + i + 3] * x[i + 3];
    }
    for (let i = even; i < length; i++) {
      a += values[at + i] * x[i];
    }
    result[row] += a + b + (c + d);
  }
  return result;
}

/** A new vector (rows,) with the bias; zeros where a matrix (rows, columns) has no bias. */
export function biasOrZeros(weight, bias) {
  return bias ? Float64Array.from(bias.values) : new Float64Array(weight.shape[0]);
}

/** Compute weight * x + bias; a layer may have no bias. */
export function linear(weight, bias, x) {
  return addProduct(biasOrZeros(weight, bias), weight, x);
}

/** Return row `index` of a tensor (rows, width), without a copy. */
export function rowOf(tensor, index) {
  const width = tensor.shape[1];
  return tensor.values.subarray(index * width, (index + 1) * width);
}

export function addTo(result, x) {
  for (let i = 0; i < result.length; i++) {
    result[i] += x[i];
  }
  return result;
}

export function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

/** The error function, by its series of positive terms (Abramowitz and Stegun 7.1.6). */
function erf(x) {
  if (Math.abs(x) > 6) {
    return Math.sign(x);
  }
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export function gelu(x) {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** Logarithm of the sum of exp(x), without overflow; -Infinity where all are. */
export function logSumExp(x) {
  const max = x.reduce((a, b) => Math.max(a, b), -Infinity);
  return max === -Infinity ? max : max + Math.log(x.reduce((sum, value) => sum + Math.exp(value - max), 0));
}

/** Normalise a vector to mean 0 and variance 1, then scale and shift it. */
export function layerNorm(x, weight, bias) {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  const scale = 1 / Math.sqrt(variance + 1e-5);
  return x.map((value, i) => (value - mean) * scale * weight.values[i] + bias.values[i]);
}
