// The choice of a way to sample under conditions, as `predict` chooses.
//
// Rejection is exact for every network; it is chosen where enough rows meet the condition. Sampling by messages is
// exact too, and fast for rare conditions; it needs all windows, so a short context. Resampling approximates.

import { PageError } from "../vocabulary.js";
import { Condition } from "./conditions/condition.js";
import { ExactSampler, nodeProbabilities } from "./conditions/exact.js";
import { makeGraph } from "./conditions/graph.js";
import { MAX_MESSAGE_NUMBERS, Messages } from "./conditions/messages.js";
import { approximateSampler } from "./conditions/resampling.js";
import { BATCH_SIZE } from "./random_stream.js";
import { RejectionSampler } from "./sampler.js";

const MIN_ROW_RATE = 1 / 32; // of accepted rows; below, another strategy is chosen
const MAX_TABLE_NUMBERS = 2 ** 24; // in a table of all windows
const MAX_GRAPH_EDGES = 2 ** 24;
// The page of a model with a short context leaves this entry out, see `html.py`: exact messages serve nearly always.
const APPROXIMATIONS = [
  approximateSampler,
];
const MIN_MESSAGES = 32; // that must have room, each with a number per node of the graph

// Return the graph of a condition for the network's own windows; null if there is no room for exact messages.
export function exactGraph(network, condition) {
  const { context, vocabSize } = network;
  if (context === null || vocabSize ** (context + 1) > MAX_TABLE_NUMBERS) return null;
  const graph = makeGraph(condition, context, MAX_GRAPH_EDGES);
  const numMessages = Math.max(MIN_MESSAGES, condition.minLength);
  return graph === null || graph.size * numMessages > MAX_MESSAGE_NUMBERS ? null : graph;
}

// Sampler of a network's items under the conditions of the options.
export class ConditionalSampler {
  constructor(network, vocabulary, options) {
    this.network = network;
    this.options = options;
    this.condition = new Condition(vocabulary, options);
    this.rejection = new RejectionSampler(network, this.condition, options);
    this.strategy = null;
  }

  // Samples of each batch, known after the first.
  get samplesPerBatch() {
    return this.strategy?.samplesPerBatch ?? BATCH_SIZE;
  }

  // Whether items have the probabilities that the network gives them under the conditions, known with the first item.
  get isExact() {
    return this.strategy.isExact;
  }

  // Yield for each row of a batch the ids of its item, or null for a row without an item and for other work.
  *sampleBatch(batch) {
    this.strategy ??= yield* this.choose();
    yield* this.strategy.sampleBatch(batch);
  }

  *choose() {
    const { network, condition, options } = this;
    if (!condition.hasRules && (yield* this.isRejectionFast())) return this.rejection;
    const graph = exactGraph(network, condition);
    if (condition.hasRules && graph === null && (yield* this.isRejectionFast())) return this.rejection;
    const [approximate] = APPROXIMATIONS;
    let messages = null;
    if (graph !== null) {
      const table = yield* nodeProbabilities(network, graph, condition.vocabulary, options);
      messages = new Messages(table, graph, condition);
      yield* messages.compute();
      if (messages.acceptanceRate === 0) {
        throw new PageError("The model never makes such an item: loosen the conditions, temperature, top-k or top-p.");
      }
      if (messages.acceptanceRate >= MIN_ROW_RATE || !approximate) {
        return new ExactSampler(messages, condition, options.seed);
      }
    }
    if (!approximate) throw new PageError("The conditions are too long together for this page: shorten them.");
    return yield* approximate(network, condition, options, messages);
  }

  // Check whether enough rows of the first batch have an item; looks at no more rows than the answer needs.
  *isRejectionFast() {
    const needed = MIN_ROW_RATE * BATCH_SIZE;
    let numItems = 0;
    for (let row = 0; row < BATCH_SIZE && numItems < needed; row++) {
      if (this.rejection.firstRow(row) !== null) numItems++;
      yield null;
    }
    return numItems >= needed;
  }
}
