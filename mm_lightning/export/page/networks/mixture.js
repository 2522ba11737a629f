// Average of networks: the weighted mean of their probabilities.

import { logSumExp } from "./parts/arithmetic.js";
import { windowOf } from "./parts/windows.js";

export class Mixture {
  constructor(settings, _tensors, members) {
    this.members = members;
    this.logWeights = settings.weights.map(Math.log);
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

  /** Logarithms of the weighted mean of the probabilities under each member's logits. */
  mean(logits) {
    const shifts = logits.map((each, i) => this.logWeights[i] - logSumExp(each));
    return Float64Array.from(logits[0], (_, token) => logSumExp(logits.map((each, i) => each[token] + shifts[i])));
  }
}
