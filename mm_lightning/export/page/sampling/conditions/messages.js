// Backward messages: the probability that a prefix continues to an item that meets the condition.
//
// The message of a prefix depends on its node and its length alone. Messages are computed from the end backwards, as in
// hidden Markov models (Baum et al. 1970). An upper bound needs one message for all lengths: the recursion starts with
// 1 for every node that can still accept. Samples by the bound favour long items by a known factor, which rejection
// removes. These are the steps of `predict`, in the same order, so that both choose the same items.

import { BOUNDARY } from "../../vocabulary.js";

export const MAX_MESSAGE_NUMBERS = 2 ** 25; // in all messages together, 256 MiB
const MIN_BOUND_RATE = 0.99; // of samples by the upper bound; below, messages for every length are preferred
const MIN_BOUND_STEPS = 16; // before the first check of the acceptance rate; each later check doubles the steps

export class Messages {
  // `table` (P, V): probabilities of the next id after each node of the graph.
  constructor(table, graph, condition) {
    this.table = table;
    this.graph = graph;
    this.vocabSize = condition.vocabulary.size;
    this.maxLength = condition.maxLength;
    this.firstLength = condition.prefix.length;
    this.minEndLength = Math.max(condition.minLength, this.firstLength);
    this.acceptanceRate = 0; // share of items sampled by `nextWeights` that rejection accepts
  }

  // Compute all messages; yields after each step, so that a page can paint.
  *compute() {
    const numEndLengths = this.maxLength - this.minEndLength + 1;
    let backward = [yield* this.upperBound(numEndLengths)];
    this.numExtraLengths = this.maxLength; // lengths that the bound serves beyond its own
    const hasRoom = (this.maxLength - this.firstLength + 2) * this.graph.size <= MAX_MESSAGE_NUMBERS;
    if (this.acceptanceRate < MIN_BOUND_RATE && this.acceptanceRate > 0 && hasRoom) {
      backward = [new Float64Array(this.graph.size)];
      for (let i = 0; i < numEndLengths; i++) {
        backward.push(this.stepBack(backward[i], true));
        yield null;
      }
      this.numExtraLengths = 0;
      this.acceptanceRate = 1;
    }
    this.sharedIndex = this.minEndLength - this.firstLength;
    for (let i = 0; i < this.sharedIndex; i++) backward.push(this.stepBack(backward[backward.length - 1], false));
    this.byLength = backward.reverse();
  }

  // Return the upper bound (P,) after as many steps as make its acceptance rate high, and set this rate.
  *upperBound(numEndLengths) {
    let lower = new Float64Array(this.graph.size);
    let upper = new Float64Array(this.graph.size).fill(1, 0, -1);
    let bound = 1;
    for (let numSteps = 0; numSteps < numEndLengths && this.acceptanceRate < MIN_BOUND_RATE && bound > 0; ) {
      const numMore = Math.min(Math.max(MIN_BOUND_STEPS, numSteps), numEndLengths - numSteps);
      for (let i = 0; i < numMore; i++) {
        upper = this.stepBack(upper, true);
        lower = this.stepBack(lower, true);
        yield null;
      }
      numSteps += numMore;
      const probability = this.atPrefix(lower);
      bound = this.atPrefix(upper);
      this.acceptanceRate = probability > 0 ? probability / bound : 0;
    }
    return upper;
  }

  // Return the message of the prefix, from the message (P,) of the shortest length that may end.
  atPrefix(message) {
    for (let i = this.firstLength; i < this.minEndLength; i++) message = this.stepBack(message, false);
    return message[this.graph.start];
  }

  // Return the message (P,) of prefixes that are one id shorter.
  stepBack(message, mayEnd) {
    const { table, vocabSize } = this;
    const { nextNodes, accepting, size } = this.graph;
    const result = new Float64Array(size);
    for (let node = 0, edge = 0; node < size; node++) {
      let sum = 0;
      const end = edge + vocabSize;
      if (mayEnd && accepting[node]) sum = table[edge + BOUNDARY];
      for (; edge < end; edge++) sum += table[edge] * message[nextNodes[edge]];
      result[node] = sum;
    }
    return result;
  }

  // Return the messages (P,) of prefixes of one length.
  ofLength(length) {
    let index = length - this.firstLength;
    if (index > this.sharedIndex) index = Math.max(this.sharedIndex, index - this.numExtraLengths);
    return this.byLength[Math.min(index, this.byLength.length - 1)];
  }

  // Return cumulative sums (V,) of the probabilities of the next id times the messages of what each id leads to.
  nextWeights(length, probabilities, node) {
    const { nextNodes, accepting } = this.graph;
    const message = this.ofLength(length + 1);
    const result = new Float64Array(this.vocabSize);
    let sum = 0;
    for (let id = 0; id < this.vocabSize; id++) {
      const canEnd = accepting[node] === 1 && length >= this.minEndLength ? 1 : 0;
      sum += probabilities[id] * (id === BOUNDARY ? canEnd : message[nextNodes[node * this.vocabSize + id]]);
      result[id] = sum;
    }
    return result;
  }
}
