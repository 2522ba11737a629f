// Probabilities of the next id from logits, and ids sampled from probabilities; in double precision, as in `predict`.

import { BOUNDARY, PageError } from "../vocabulary.js";

const MAX_LOGIT = 1e6; // no trained network has logits above hundreds

function indexOfMax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

// Return the ids by falling value; equal values by rising id.
function fallingOrder(values) {
  return Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b);
}

// Copy logits in double precision, with minus infinity for ids that must not be sampled.
function maskLogits(logits, maskedIds) {
  for (const logit of logits) {
    if (!(logit < MAX_LOGIT)) throw new PageError("The model cannot be used: its logits are no numbers.");
  }
  const masked = Float64Array.from(logits);
  for (const id of maskedIds) masked[id] = -Infinity;
  return masked;
}

// Replace logits by their probabilities, in place; NaN everywhere where no id is possible.
function softmaxInPlace(logits, temperature) {
  const max = logits[indexOfMax(logits)];
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    logits[i] = max === -Infinity ? NaN : logits[i] === -Infinity ? 0 : Math.exp((logits[i] - max) / temperature);
    sum += logits[i];
  }
  for (let i = 0; i < logits.length; i++) logits[i] /= sum;
}

function removeBeyondTopP(probabilities, topP) {
  let sum = 0;
  for (const id of fallingOrder(probabilities)) {
    sum += probabilities[id];
    if (sum - probabilities[id] >= topP) probabilities[id] = 0; // more likely ids already reach top-p
  }
}

// Compute probabilities of the next id under temperature, top-k and top-p; the sum is below 1 where top-p removes ids.
function optionProbabilities(logits, maskedIds, options) {
  const result = maskLogits(logits, maskedIds);
  if (options.temperature === 0) {
    const best = indexOfMax(result);
    return result.fill(0).fill(1, best, best + 1);
  }
  if (options.topK !== null && options.topK < result.length) {
    for (const id of fallingOrder(result).slice(options.topK)) result[id] = -Infinity;
  }
  softmaxInPlace(result, options.temperature);
  if (options.topP < 1) removeBeyondTopP(result, options.topP);
  return result;
}

// Compute cumulative probabilities of the next id; where no id is possible, the item ends.
export function cumulativeProbabilities(logits, maskedIds, options, canEnd) {
  const result = optionProbabilities(logits, maskedIds, options);
  if (!canEnd) result[BOUNDARY] = 0; // after the options: they choose among all ids
  for (let i = 1; i < result.length; i++) result[i] += result[i - 1];
  return result[result.length - 1] > 0 ? result : result.fill(1);
}

// Compute probabilities of the next id with the sum 1; the boundary has probability 1 where no id is possible.
export function normalisedProbabilities(logits, maskedIds, options) {
  const result = optionProbabilities(logits, maskedIds, options);
  const sum = result.reduce((a, b) => a + b, 0);
  if (!(sum > 0)) return result.fill(0).fill(1, BOUNDARY, BOUNDARY + 1);
  return result.map((value) => value / sum);
}

// Compute log-probabilities of the next id, as the model has them without any option.
export function logSoftmax(logits) {
  const result = maskLogits(logits, []);
  const max = result[indexOfMax(result)];
  const logSum = max + Math.log(result.reduce((sum, logit) => sum + Math.exp(logit - max), 0));
  return result.map((logit) => logit - logSum);
}

// Sample an id by inversion of the cumulative distribution function, from sums that need not reach 1.
export function inverseCdf(cumulative, uniform) {
  const last = cumulative.length - 1;
  const total = cumulative[last];
  const target = uniform * total;
  if (!(total > 0)) return last;
  let low = 0;
  let high = last; // the product can round to the total; the last id that raises the sum is then the sample
  while (low < high) {
    const middle = (low + high) >> 1;
    if (target < total ? cumulative[middle] > target : cumulative[middle] >= total) high = middle;
    else low = middle + 1;
  }
  return low;
}
