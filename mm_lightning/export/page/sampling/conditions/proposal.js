// A table model for the proposal distribution of a network whose context is too long for a table of its own.
//
// The model is an n-gram model (modified Kneser-Ney, as in `predict`) of items that the network samples. It directs
// sampling under a condition; its errors are corrected by the network's own probabilities.

import { BOUNDARY } from "../../vocabulary.js";
import { BATCH_SIZE, BatchNumbers } from "../random_stream.js";
import { PlainSampler } from "../sampler.js";
import { makeGraph } from "./graph.js";

const NUM_COUNTED_BATCHES = 4;
const MIN_COUNTED_LENGTH = 50; // tokens; lower limits would leave too few items to count
const MAX_PROPOSAL_CONTEXT = 2; // ids
const MAX_PROPOSAL_NUMBERS = 2 ** 20; // in a table
const MAX_PROPOSAL_EDGES = 2 ** 24;
const MAX_DISCOUNTED = 3; // larger counts have the discount of this one

// Sample items without a condition, and return {table, graph}: the probabilities (P, V) of the next id after each node.
export function* proposalModel(network, condition, options) {
  const maxLength = Math.max(options.maxLength, MIN_COUNTED_LENGTH);
  const free = { ...options, minLength: 0, maxLength };
  const sampler = new PlainSampler(network, condition.vocabulary, free, condition.prefix);
  const items = [];
  for (let batch = 0; batch < NUM_COUNTED_BATCHES; batch++) {
    const numbers = new BatchNumbers(options.seed, batch);
    for (let row = 0; row < BATCH_SIZE; row++) {
      const ids = sampler.sampleRow(numbers, row);
      if (ids !== null) items.push(ids);
      yield null;
    }
  }
  const graph = largestGraph(condition);
  const ngrams = ngramTable(items.length ? items : [[]], condition.vocabulary, graph.context);
  const size = condition.vocabulary.size;
  const table = new Float64Array(graph.size * size);
  graph.windows.forEach((window, node) => table.set(ngrams.subarray(window * size, (window + 1) * size), node * size));
  return { table, graph };
}

// Return the graph of the largest context whose table and graph have room.
function largestGraph(condition) {
  for (let context = MAX_PROPOSAL_CONTEXT; context > 0; context--) {
    const hasRoom = condition.vocabulary.size ** (context + 1) <= MAX_PROPOSAL_NUMBERS;
    const graph = hasRoom ? makeGraph(condition, context, MAX_PROPOSAL_EDGES) : null;
    if (graph !== null) return graph;
  }
  return makeGraph(condition, 0, Infinity); // the nodes are states of the condition
}

// Count the n-grams of items with n = context + 1 tokens, the boundary before the first token and after the last.
function countNgrams(items, size, context) {
  const counts = new Float64Array(size ** (context + 1));
  for (const ids of items) {
    let number = 0;
    for (const id of [...ids, BOUNDARY]) {
      number = (number * size + id) % counts.length;
      counts[number]++;
    }
  }
  return counts;
}

// Estimate the discounts of counts of 0, 1, 2 and more (Chen and Goodman 1999); half of the count without an estimate.
function estimateDiscounts(counts) {
  const n = [0, 0, 0, 0, 0];
  for (const count of counts) if (count < n.length) n[count]++;
  const discounts = [0];
  for (let count = 1; count <= MAX_DISCOUNTED; count++) {
    const estimate = count - (((count + 1) * n[1]) / (n[1] + 2 * n[2])) * (n[count + 1] / n[count]);
    discounts.push(Math.min(count, Math.max(0.1, Number.isFinite(estimate) ? estimate : count / 2)));
  }
  return discounts;
}

// Return the Kneser-Ney counts of n-grams with 1 to context + 1 tokens: the longest count their occurrences, a shorter
// one the distinct tokens before it, or its occurrences where it begins an item.
function kneserNeyCounts(occurrences, size, context) {
  const longestFirst = [];
  let counts = occurrences;
  for (let n = context; n >= 0; n--) {
    // The n-grams that begin with two boundaries are left out: the shorter n-gram says the same.
    const used = n > 1 ? counts.slice().fill(0, 0, size ** (n - 1)) : counts;
    longestFirst.push(used);
    if (n === 0) break;
    const shorter = new Float64Array(size ** n);
    const predecessors = new Float64Array(size ** n);
    occurrences.forEach((count, number) => {
      shorter[number % shorter.length] += count;
      if (count > 0) predecessors[number % shorter.length]++;
    });
    const beginning = n > 1 ? size ** (n - 1) : 0; // n-grams below have a boundary first
    counts = predecessors.map((count, number) => (number < beginning ? shorter[number] : count));
    occurrences = shorter;
  }
  return longestFirst.reverse();
}

// Compute probabilities (V^C, V) of the next id after every window of C ids, from the counts of items.
export function ngramTable(items, vocabulary, context) {
  const { size } = vocabulary;
  const occurrences = countNgrams(items, size, context);
  let table;
  if (context === 0) {
    table = occurrences.map((count) => count + 1);
  } else {
    table = new Float64Array(size).fill(1 / size);
    for (const counts of kneserNeyCounts(occurrences, size, context)) table = smoothCounts(counts, table, size);
  }
  return normaliseNgrams(table, vocabulary);
}

// Smooth the counts (contexts, V) of one length towards probabilities (shorter contexts, V).
function smoothCounts(counts, lower, size) {
  const discounts = estimateDiscounts(counts);
  const result = new Float64Array(counts.length);
  for (let row = 0; row < counts.length; row += size) {
    let sum = 0;
    let share = 0; // of the shorter contexts, in counts
    for (let id = 0; id < size; id++) {
      sum += counts[row + id];
      share += discounts[Math.min(counts[row + id], MAX_DISCOUNTED)];
    }
    for (let id = 0; id < size; id++) {
      const count = counts[row + id];
      const shorter = lower[(row + id) % lower.length];
      const discounted = count - discounts[Math.min(count, MAX_DISCOUNTED)] + share * shorter;
      result[row + id] = sum > 0 ? discounted / sum : shorter;
    }
  }
  return result;
}

function normaliseNgrams(table, vocabulary) {
  const { size, unsampled } = vocabulary;
  for (let row = 0; row < table.length; row += size) {
    for (const id of unsampled) table[row + id] = 0;
    const sum = table.subarray(row, row + size).reduce((a, b) => a + b, 0);
    for (let id = 0; id < size; id++) table[row + id] /= sum;
  }
  return table;
}
