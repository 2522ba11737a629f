// Mean of networks: geometric, or the weighted mean of their probabilities. With slopes, a weight changes with the entropy
// of the network's prediction.

import { logSumExp } from "./parts/arithmetic.js";
import { windowOf } from "./parts/windows.js";

const MIN_LOG_P = -30; // as in mixture.py

export class Mixture {
  constructor(settings, _tensors, members) {
    this.members = members;
    this.logWeights = settings.weights.map(Math.log);
    this.entropySlopes = settings.entropy_slopes;
    this.weights = settings.weights;
    this.isGeometric = settings.geometric;
    this.vocabSize = settings.vocab_size;
    const contexts = members.map((member) => member.context);
    this.context = contexts.includes(null) ? null : Math.max(...contexts);
    this.embedding = null;
  }

  read(ids, state) {
    const results = this.members.map((member, i) => member.read(ids, state && state[i]));
    return { logits: this.mean(results.map(({ logits }) => logits)), state: results.map((result) => result.state) };
  }

  windowLogits(window) {
    return this.mean(this.members.map((member) => member.windowLogits(window.slice(-member.context))));
  }

  inside(ids) {
    return { window: this.context && windowOf(ids, this.context), hidden: null };
  }

  /** Logarithms of the mean of the probabilities under each member's logits. */
  mean(logits) {
    const sums = logits.map(logSumExp);
    if (this.isGeometric) return this.geometricMean(logits, sums);
    const logWeights = this.logWeightsFor(logits, sums);
    const shifts = sums.map((sum, i) => logWeights[i] - sum);
    return Float64Array.from(logits[0], (_, token) => logSumExp(logits.map((each, i) => each[token] + shifts[i])));
  }

  geometricMean(logits, sums) {
    const means = Float64Array.from(logits[0], (_, token) =>
      logits.reduce((total, each, i) => total + this.weights[i] * Math.max(MIN_LOG_P, each[token] - sums[i]), 0),
    );
    const sum = logSumExp(means);
    return means.map((value) => value - sum);
  }

  /** Logarithm of each member's weight, from its logits and the logarithm of the sum of their exponentials. */
  logWeightsFor(logits, sums) {
    if (!this.entropySlopes) return this.logWeights;
    const raw = logits.map((each, i) => this.logWeights[i] + this.entropySlopes[i] * entropy(each, sums[i]));
    const sum = logSumExp(raw);
    return raw.map((value) => value - sum);
  }
}

function entropy(logits, logSum) {
  return logits.reduce((sum, logit) => (logit === -Infinity ? sum : sum - Math.exp(logit - logSum) * (logit - logSum)), 0);
}
