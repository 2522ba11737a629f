// What the page samples: the items of `predict` for the same model, options and seed, in the same order.

import { PageError } from "../vocabulary.js";
import { LabelMixture } from "./labels.js";

const MAX_SAMPLES_PER_ITEM = 100; // before giving up

// Yield {text, row, label, isExact} for each item, without an end. Yields null in between, so that a page can paint or
// stop: after a row without an item, and within other work. `row` numbers the items from 0; `label` is null for a model
// without labels; `isExact` says whether items have the probabilities that the model gives them under the conditions.
//
// Throws a PageError where `predict` finds fewer than `numSamples` items, or where an item beyond them is as rare.
export function* sampleItems(model, options) {
  const sampler = new LabelMixture(model, options);
  let [row, asked, numSampled] = [0, options.numSamples, 0];
  for (let batch = 0; numSampled < MAX_SAMPLES_PER_ITEM * asked; batch++) {
    for (const item of sampler.sampleBatch(batch)) {
      if (item === null) yield null;
      else yield { text: model.vocabulary.decode(item.ids), row: row++, label: item.label, isExact: sampler.isExact };
    }
    asked = Math.max(row + 1, options.numSamples);
    numSampled = (batch + 1) * sampler.samplesPerBatch;
  }
  throw new PageError(
    `Found ${row} of ${asked} items in ${numSampled} samples; ` +
      "ask for fewer, a higher temperature or looser conditions.",
  );
}
