// What the page samples: the items of `predict` for the same model, options and seed, in the same order.

import { PageError } from "../vocabulary.js";
import { Condition } from "./conditions/condition.js";
import { LabelMixture, labelParts } from "./labels.js";
import { exactGraph } from "./strategy.js";

const MAX_SAMPLES_PER_ITEM = 100; // before giving up

// Yield {text, row, label} for each item, without an end. Yields null in between, so that a page can paint or stop:
// after a row without an item, and within other work. `row` numbers the items from 0; `label` is null for a model
// without labels.
//
// Throws a PageError where `predict` finds fewer than `numSamples` items, or where an item beyond them is as rare.
export function* sampleItems(model, options) {
  const sampler = new LabelMixture(model, options);
  let [row, asked, numSampled] = [0, options.numSamples, 0];
  for (let batch = 0; numSampled < MAX_SAMPLES_PER_ITEM * asked; batch++) {
    for (const item of sampler.sampleBatch(batch)) {
      yield item === null ? null : { text: model.vocabulary.decode(item.ids), row: row++, label: item.label };
    }
    asked = Math.max(row + 1, options.numSamples);
    numSampled = (batch + 1) * sampler.samplesPerBatch;
  }
  throw new PageError(
    `Found ${row} of ${asked} items in ${numSampled} samples; ` +
      "ask for fewer, a higher temperature or looser conditions.",
  );
}

// Say how the conditions are met: "none" if there are none; "exact"; or "approximate" where the network's context is
// long. Then rare conditions are met approximately, others exactly.
export function conditionKind(model, options) {
  const { prefix, suffix, contains, minLength, maxLength } = options;
  const hasRules = suffix !== "" || contains !== "" || minLength > 1 || maxLength < 1000;
  if (!hasRules) return prefix === "" ? "none" : "exact";
  const condition = new Condition(model.vocabulary, options);
  return exactGraph(labelParts(model, options.label)[0].network, condition) === null ? "approximate" : "exact";
}
