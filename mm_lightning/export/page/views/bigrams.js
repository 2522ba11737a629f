// The model's bigrams: the mean distribution of the next token after each token, over items that the model makes.
//
// A network with a longer context has no table of bigrams. Its next token is averaged over the contexts that the model
// itself makes. For a network that sees one token, the result is its own table.

import { sampleItems } from "../sampling/index.js";
import { makeOptions } from "../sampling/options.js";
import { withLabel } from "../networks/index.js";

const NUM_ITEMS = 300;

/** Add the distributions after each token of an item to the rows. */
function addItem(rows, network, ids, share, unsampled) {
  let state = null;
  for (const id of ids) {
    const next = network.read([id], state);
    state = next.state;
    const highest = next.logits.reduce((a, b) => Math.max(a, b), -Infinity);
    const weights = Array.from(next.logits, (logit, token) => (unsampled.includes(token) ? 0 : Math.exp(logit - highest)));
    const factor = share / weights.reduce((a, b) => a + b, 0);
    if (!rows.has(id)) rows.set(id, new Float64Array(weights.length));
    const row = rows.get(id);
    weights.forEach((weight, token) => { row[token] += factor * weight; });
  }
}

/** Fill `rows`, a map from ids to sums of distributions, item by item; yields null after each item. */
export function* collectBigrams(model, rows) {
  const labels = model.labels.length ? model.labels : [null];
  for (const [number, label] of labels.entries()) {
    const share = label === null ? 1 : model.labelShares[number];
    const network = label === null ? model.network : withLabel(model.network, number);
    const wanted = Math.ceil(NUM_ITEMS / labels.length);
    const items = sampleItems(model, makeOptions({ label, numSamples: wanted }));
    for (let taken = 0; taken < wanted;) {
      const { value, done } = items.next();
      if (done) break;
      if (value !== null) {
        addItem(rows, network, [0, ...model.vocabulary.encode(value.text)], share, model.vocabulary.unsampled);
        taken += 1;
      }
      yield null;
    }
  }
}

/** The table of the `count` most frequent tokens: their ids, rising, and rows of probabilities. */
export function bigramTable(rows, count) {
  const sums = new Map();
  for (const row of rows.values()) row.forEach((value, id) => sums.set(id, (sums.get(id) ?? 0) + value));
  const order = [...sums.keys()].sort((a, b) => sums.get(b) - sums.get(a));
  const ids = order.slice(0, count).sort((a, b) => a - b);
  return { ids, rows: ids.map((id) => distributionAfter(rows, id)).map((row) => ids.map((id) => row?.[id] ?? 0)) };
}

/** Distribution of the token after an id, or null for a token that no item had. */
export function distributionAfter(rows, id) {
  const row = rows.get(id);
  if (!row) return null;
  const sum = row.reduce((a, b) => a + b, 0);
  return row.map((value) => value / sum);
}
