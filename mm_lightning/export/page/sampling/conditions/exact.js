// Exact sampling under a condition, from probabilities after every window and backward messages.

import { BOUNDARY } from "../../vocabulary.js";
import { inverseCdf, normalisedProbabilities } from "../probabilities.js";
import { BATCH_SIZE, BatchNumbers } from "../random_stream.js";

const NODES_PER_PAUSE = 512; // nodes whose logits are computed before the page may paint

// Fill a table (P, V) of probabilities of the next id after each node of a graph; yields, so that a page can paint.
export function* nodeProbabilities(network, graph, vocabulary, options) {
  const table = new Float64Array(graph.size * vocabulary.size);
  for (let node = 0; node < graph.windows.length; node++) {
    const logits = network.windowLogits(digitsOf(graph.windows[node], vocabulary.size, graph.context));
    table.set(normalisedProbabilities(logits, vocabulary.unsampled, options), node * vocabulary.size);
    if (node % NODES_PER_PAUSE === 0) yield null;
  }
  return table;
}

// Return the ids of a window from its number.
function digitsOf(number, vocabSize, context) {
  const ids = new Array(context);
  for (let i = context - 1; i >= 0; i--) {
    ids[i] = number % vocabSize;
    number = Math.floor(number / vocabSize);
  }
  return ids;
}

export class ExactSampler {
  isExact = true;

  constructor(messages, condition, seed) {
    this.messages = messages;
    this.condition = condition;
    this.seed = seed;
  }

  // Yield for each row of a batch the ids of its item, or null where rejection drops it.
  *sampleBatch(batch) {
    const numbers = new BatchNumbers(this.seed, batch);
    for (let row = 0; row < BATCH_SIZE; row++) yield this.sampleRow(numbers, row);
  }

  sampleRow(numbers, row) {
    const { messages, condition } = this;
    const size = condition.vocabulary.size;
    const threshold = numbers.at(0, row);
    const ids = [...condition.prefix];
    let node = messages.graph.start;
    let acceptance = 1; // probability to accept the item
    for (let step = 1; ids.length <= condition.maxLength; step++) {
      const probabilities = messages.table.subarray(node * size, (node + 1) * size);
      const cumulative = messages.nextWeights(ids.length, probabilities, node);
      acceptance *= cumulative[size - 1] / messages.ofLength(ids.length)[node];
      const id = inverseCdf(cumulative, numbers.at(step, row));
      if (id === BOUNDARY) return threshold < acceptance ? ids : null;
      ids.push(id);
      node = messages.graph.nextNodes[node * size + id];
    }
    return null; // over the maximum length
  }
}
