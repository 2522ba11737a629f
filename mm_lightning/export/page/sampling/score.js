// The surprise of a given item: the negative log-likelihood of each token and of the end, in nats, as `score` has it.

import { logSumExp } from "../networks/parts/arithmetic.js";
import { BOUNDARY } from "../vocabulary.js";
import { labelParts } from "./labels.js";
import { logSoftmax, normalisedProbabilities } from "./probabilities.js";

// Return the log-probability of each of ids and of the end.
function targetLogs(network, ids) {
  let next = { state: null };
  return [...ids, BOUNDARY].map((target, i) => {
    next = network.read([i ? ids[i - 1] : BOUNDARY], next.state);
    return logSoftmax(next.logits)[target];
  });
}

// Score an item. Without a label, a model with labels is the mixture of its labels (Bayes' rule).
//
// Returns the surprise of each token and, last, of the end (its text is empty); the total; and the probability of each
// label given the item.
export function scoreItem(model, text, label = null) {
  const ids = model.vocabulary.encode(text);
  const parts = labelParts(model, label);
  const sums = parts.map(({ share }) => Math.log(share)); // log-probability of label and tokens so far
  const logs = parts.map(({ network }) => targetLogs(network, ids));
  let before = 0;
  const tokens = [...ids, BOUNDARY].map((id, i) => {
    logs.forEach((ofTargets, k) => (sums[k] += ofTargets[i]));
    const after = logSumExp(sums);
    const nll = after === -Infinity ? Infinity : before - after;
    before = after;
    return { text: model.vocabulary.token(id), nll };
  });
  const isPossible = before > -Infinity; // else the item says nothing about its label
  const labels = parts.map(({ name, share }, k) => {
    return { label: name, probability: isPossible ? Math.exp(sums[k] - before) : share };
  });
  return { tokens, total: -before, labels: model.labels.length ? labels : [] };
}

// Return the probabilities (V,) of the next id after the tokens `ids` of an item, under temperature, top-k and top-p;
// conditions on the whole item do not count.
export function nextProbabilities(model, ids, options) {
  const { vocabulary } = model;
  const parts = labelParts(model, options.label).map(({ network, share }) => {
    let log = Math.log(share); // of label and ids
    let next = network.read([BOUNDARY], null);
    for (const id of ids) {
      log += Math.log(normalisedProbabilities(next.logits, vocabulary.unsampled, options)[id]);
      next = network.read([id], next.state);
    }
    return { log, share, probabilities: normalisedProbabilities(next.logits, vocabulary.unsampled, options) };
  });
  const total = logSumExp(parts.map(({ log }) => log));
  const isPossible = total > -Infinity; // else a user chose tokens that the options leave out
  const result = new Float64Array(vocabulary.size);
  for (const { log, share, probabilities } of parts) {
    const weight = isPossible ? Math.exp(log - total) : share; // of the label, given the ids
    probabilities.forEach((p, id) => (result[id] += weight * p));
  }
  return result;
}
