// Counted networks: n-grams with add-k smoothing, Kneser-Ney smoothing, or fitted smoothing (PitmanYor).

import { TWO_32 } from "./parts/tensors.js";
import { CountTrie, digitColumns } from "./parts/trie.js";
import { WindowNetwork } from "./parts/windows.js";

const SHARE_OF_ALL = 0.1; // of all labels, in what a length is smoothed towards; the same as in kneser_ney.py

/** A network of counts: `ofAll`, of all labels, and `ofLabels`, one CountTrie per label, empty without labels. */
class CountedNetwork extends WindowNetwork {
  constructor(settings, tensors) {
    super(settings.block_size, settings.vocab_size, null);
    const [labels, ...columns] = digitColumns(tensors.grams, this.vocabSize, this.context + 2);
    const occurrences = Float64Array.from(tensors.counts.low, (low, i) => tensors.counts.high[i] * TWO_32 + low);
    this.ofAll = new CountTrie(columns, occurrences, this.vocabSize);
    this.ofLabels = Array.from({ length: settings.num_labels ?? 0 }, (_, label) => {
      const select = (array) => array.filter((_value, i) => labels[i] === label);
      return new CountTrie(columns.map(select), select(occurrences), this.vocabSize);
    });
  }

  compute(window) {
    const context = window.map((id) => id % this.vocabSize);
    return this.probabilities(context, this.ofLabels[Math.floor(window[0] / this.vocabSize)]).map(Math.log);
  }
}

export class NGram extends CountedNetwork {
  constructor(settings, tensors) {
    super(settings, tensors);
    this.smoothing = settings.smoothing;
  }

  probabilities(context, ofLabel) {
    const uniform = new Float64Array(this.vocabSize).fill(1 / this.vocabSize);
    const ofAll = this.smoothed(this.ofAll, context, uniform);
    return ofLabel ? this.smoothed(ofLabel, context, ofAll) : ofAll;
  }

  /** Probabilities by the counts after a context and `smoothing` * V more, distributed as `lower`. */
  smoothed(trie, context, lower) {
    const counts = lower.map((p) => this.smoothing * this.vocabSize * p);
    const node = trie.path(context)[context.length];
    const { starts, tokens, counts: seen } = trie.levels[context.length];
    for (let i = starts[node]; i < starts[node + 1]; i++) {
      counts[tokens[i]] += seen[i];
    }
    const total = counts.reduce((a, b) => a + b, 0);
    return total > 0 ? counts.map((count) => count / total) : lower;
  }
}

/** Discounts of counts of 0, 1, 2 and more (Chen and Goodman 1999, equation 17); half of the count without estimate. */
function discountsOf(tries, depth) {
  const n = [0, 0, 0, 0];
  for (const trie of tries) {
    trie.levels[depth].countsOfCounts.forEach((count, i) => {
      n[i] += count;
    });
  }
  const estimates = [1, 2, 3].map((count) => {
    const estimate = count - (((count + 1) * n[0]) / (n[0] + 2 * n[1])) * (n[count] / n[count - 1]);
    return Math.min(Math.max(Number.isFinite(estimate) ? estimate : count / 2, 0.1), count);
  });
  return [0, ...estimates];
}

export class KneserNey extends CountedNetwork {
  constructor(settings, tensors) {
    super(settings, tensors);
    this.base = this.baseOf(this.ofAll.levels[0].tokens);
    this.smoothingsOfAll = this.smoothings(tensors, [this.ofAll]);
    this.smoothingsOfLabels = this.smoothings(tensors, this.ofLabels);
  }

  /** Probability of each token before anything is counted. */
  baseOf() {
    return new Float64Array(this.vocabSize).fill(1 / this.vocabSize);
  }

  /** Discounts and strength for contexts of 0 to C tokens. */
  smoothings(_tensors, tries) {
    return this.ofAll.levels.map((_, depth) => ({ discounts: discountsOf(tries, depth), strength: 0 }));
  }

  probabilities(context, ofLabel) {
    let ofAll = this.base;
    let result = ofAll;
    const paths = [this.usedPath(this.ofAll, context), ofLabel ? this.usedPath(ofLabel, context) : []];
    for (let depth = 0; depth <= context.length; depth++) {
      ofAll = interpolate(this.ofAll, depth, paths[0], this.smoothingsOfAll[depth], ofAll);
      if (ofLabel) {
        const before = result;
        const shorter = ofAll.map((p, token) => (1 - SHARE_OF_ALL) * before[token] + SHARE_OF_ALL * p);
        result = interpolate(ofLabel, depth, paths[1], this.smoothingsOfLabels[depth], shorter);
      }
    }
    return ofLabel ? result : ofAll;
  }

  /** Nodes on the path of a context, without contexts that begin with two boundaries: the shorter one says the same. */
  usedPath(trie, context) {
    const start = context.lastIndexOf(0);
    return trie.path(context).slice(0, start < 0 ? undefined : context.length - start + 1);
  }
}

/** Smooth the counts of one length towards the probabilities `lower` of the shorter length. */
function interpolate(trie, depth, path, { discounts, strength }, lower) {
  if (depth >= path.length) {
    return lower;
  }
  const { starts, tokens, counts } = trie.levels[depth];
  const [start, end] = [starts[path[depth]], starts[path[depth] + 1]];
  let freed = strength;
  let total = strength;
  for (let i = start; i < end; i++) {
    freed += discounts[Math.min(counts[i], 3)];
    total += counts[i];
  }
  const result = lower.map((p) => (p * freed) / total);
  for (let i = start; i < end; i++) {
    result[tokens[i]] += (counts[i] - discounts[Math.min(counts[i], 3)]) / total;
  }
  return result;
}

/** Kneser-Ney counts with discounts and strengths that were fitted to the counts. */
export class PitmanYor extends KneserNey {
  baseOf(seen) {
    const isUnseen = new Float64Array(this.vocabSize).fill(1);
    for (const token of seen) {
      isUnseen[token] = 0;
    }
    const numUnseen = isUnseen.reduce((a, b) => a + b, 0);
    return numUnseen ? isUnseen.map((value) => value / numUnseen) : super.baseOf(seen);
  }

  smoothings({ discounts, strengths }) {
    return Array.from(strengths.values, (strength, depth) => ({
      discounts: [0, ...discounts.values.subarray(3 * depth, 3 * depth + 3)],
      strength,
    }));
  }
}
