// Samples of models with labels: of one label's items, or of a mixture of labels.
//
// A network reads the label in every id, so a view of the network for one label is a network without labels.

import { withLabel } from "../networks/index.js";
import { PageError } from "../vocabulary.js";
import { inverseCdf } from "./probabilities.js";
import { BATCH_SIZE, RandomStream, seedWords } from "./random_stream.js";
import { ConditionalSampler } from "./strategy.js";

const LABEL_STREAM = 1; // of the random numbers for labels, beside those for items

// Parse labels with shares, as in "F:0.7,M:0.3", or one label.
function parseMixture(text) {
  const shares = new Map();
  for (const part of text.includes(":") ? text.split(",") : [`${text}:1`]) {
    const at = part.lastIndexOf(":");
    const [name, share] = [part.slice(0, at).trim(), Number(part.slice(at + 1))];
    if (name === "" || !(share > 0 && share < Infinity) || shares.has(name)) {
      throw new PageError(`The labels cannot be read at “${part}”: give one label, or shares as in F:0.7,M:0.3.`);
    }
    shares.set(name, share);
  }
  return shares;
}

// Return a model as a mixture of networks without labels: {network, share, name, number} of each label that has
// samples. A model without labels is one such network.
export function labelParts(model, mixture) {
  const { labels, network } = model;
  if (!labels.length) {
    if (mixture !== null) throw new PageError("This model has no labels.");
    return [{ network, share: 1, name: null, number: null }];
  }
  let shares = new Map(labels.map((name, number) => [name, model.labelShares[number]]));
  if (mixture !== null) shares = labels.includes(mixture) ? new Map([[mixture, 1]]) : parseMixture(mixture);
  const unknown = [...shares.keys()].find((name) => !labels.includes(name));
  if (unknown !== undefined) {
    throw new PageError(`The model has no label “${unknown}”; it has ${labels.join(", ")}.`);
  }
  const largest = Math.max(...shares.values()); // the sum of the shares could be too large for a number
  const total = [...shares.values()].reduce((sum, share) => sum + share / largest, 0);
  const parts = labels.map((name, number) => ({ name, number, share: (shares.get(name) ?? 0) / largest / total }));
  return parts.filter(({ share }) => share > 0).map((part) => ({ ...part, network: withLabel(network, part.number) }));
}

// Sampler of items of several labels: an item's label is drawn by the shares, then the item given the label.
//
// Each label has a sampler of its own, and its items are taken in their order. A batch ends where the shortest batch of
// a label could end: to end where a label's items run out would leave out that label more often than the others.
export class LabelMixture {
  constructor(model, options) {
    this.seed = options.seed;
    this.parts = labelParts(model, options.label).map(({ network, number, name, share }) => {
      // Equal random numbers would make the items of labels alike.
      const seed = number === null ? options.seed : seedWords([options.seed, number], 1)[0];
      return { name, share, sampler: new ConditionalSampler(network, model.vocabulary, { ...options, seed }) };
    });
    this.cumulative = this.parts.map(({ share }) => share);
    for (let i = 1; i < this.parts.length; i++) this.cumulative[i] += this.cumulative[i - 1];
    this.cumulative = this.cumulative.map((sum) => sum / this.cumulative[this.parts.length - 1]);
  }

  // Samples of each batch, known after the first: those of the shortest.
  get samplesPerBatch() {
    return Math.min(...this.parts.map(({ sampler }) => sampler.samplesPerBatch));
  }

  // Whether items have the probabilities of the model, known with the first item.
  get isExact() {
    return this.parts.every(({ sampler }) => sampler.isExact);
  }

  // Yield {ids, label} for each item of a batch, or null for a row without an item and for other work.
  *sampleBatch(batch) {
    const stream = new RandomStream([this.seed, batch, LABEL_STREAM]);
    const queues = this.parts.map(({ sampler }) => ({ found: [], numTaken: 0, rows: sampler.sampleBatch(batch) }));
    for (let i = 0; i < BATCH_SIZE; i++) {
      for (const queue of queues) {
        while (queue.found.length <= i) {
          const { value, done } = queue.rows.next();
          if (done) return;
          if (value === null) yield null;
          else queue.found.push(value);
        }
      }
      const drawn = inverseCdf(this.cumulative, stream.double());
      const queue = queues[drawn];
      const ids = queue.found[queue.numTaken++];
      yield { ids, label: this.parts[drawn].name };
    }
  }
}
