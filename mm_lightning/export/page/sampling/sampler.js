// Items sampled from a network row by row; what does not meet the conditions is rejected.
//
// The numbers of a row depend on (seed, batch, row) alone, so the page makes only the rows that it shows.

import { BOUNDARY } from "../vocabulary.js";
import { cumulativeProbabilities, inverseCdf } from "./probabilities.js";
import { BATCH_SIZE, BatchNumbers } from "./random_stream.js";

// Sampler of a network's items after a prefix; an item outside the bounds of length is null.
export class PlainSampler {
  constructor(network, vocabulary, options, prefix) {
    this.network = network;
    this.vocabulary = vocabulary;
    this.options = options;
    this.prefix = prefix;
    this.start = null; // cumulative probabilities and state after the prefix
  }

  // Return cumulative probabilities of the id after `ids`, and the state.
  advance(ids, state, canEnd = true) {
    const { logits, state: next } = this.network.read(ids, state);
    return { cumulative: cumulativeProbabilities(logits, this.vocabulary.unsampled, this.options, canEnd), state: next };
  }

  afterPrefix() {
    if (this.start === null) {
      // Without the boundary as first id, fewer items are rejected; the distribution of the others is the same.
      this.start = this.advance([BOUNDARY, ...this.prefix], null, this.options.minLength <= this.prefix.length);
    }
    return this.start;
  }

  // Return the ids of a row's item with the prefix, or null.
  sampleRow(numbers, row) {
    const ids = [...this.prefix];
    const { minLength, maxLength } = this.options;
    let { cumulative, state } = this.afterPrefix();
    for (let step = 0; ; step++) {
      const id = inverseCdf(cumulative, numbers.at(step, row));
      if (id === BOUNDARY) return ids.length >= minLength ? ids : null;
      if (ids.length === maxLength) return null;
      ids.push(id);
      ({ cumulative, state } = this.advance([id], state));
    }
  }
}

// Exact sampler of any network's items under a condition; many rows are null where the condition is rare.
export class RejectionSampler {
  isExact = true;

  constructor(network, condition, options) {
    const free = condition.hasRules ? { ...options, minLength: 0 } : options;
    this.condition = condition;
    this.seed = options.seed;
    this.sampler = new PlainSampler(network, condition.vocabulary, free, condition.prefix);
    this.firstNumbers = new BatchNumbers(options.seed, 0);
    this.firstRows = []; // of batch 0; their acceptance decides the choice of a strategy
  }

  sampleRow(numbers, row) {
    const ids = this.sampler.sampleRow(numbers, row);
    return ids !== null && this.condition.isMet(ids) ? ids : null;
  }

  firstRow(row) {
    while (this.firstRows.length <= row) {
      this.firstRows.push(this.sampleRow(this.firstNumbers, this.firstRows.length));
    }
    return this.firstRows[row];
  }

  // Yield for each row of a batch the ids of its item, or null.
  *sampleBatch(batch) {
    const numbers = batch ? new BatchNumbers(this.seed, batch) : null;
    for (let row = 0; row < BATCH_SIZE; row++) yield batch ? this.sampleRow(numbers, row) : this.firstRow(row);
  }
}
