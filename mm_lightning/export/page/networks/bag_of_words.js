// Bag of words: predict from the mean of all tokens so far.

import { addTo, linear } from "./parts/arithmetic.js";
import { TokenEmbedding, positionVector } from "./parts/embedding.js";
import { SequenceNetwork } from "./parts/windows.js";

export class BagOfWords extends SequenceNetwork {
  constructor(settings, tensors) {
    super(settings.vocab_size, new TokenEmbedding(tensors));
    this.tensors = tensors;
  }

  start() {
    return { sum: new Float64Array(this.embedding.width), count: 0 };
  }

  step(id, state, hasLogits) {
    const layer = (name, x) => linear(this.tensors[`${name}.weight`], this.tensors[`${name}.bias`], x);
    const x = Float64Array.from(this.tokenEmbedding.vector(id));
    addTo(x, positionVector(this.tensors["positions.weight"], state.count));
    const after = { sum: addTo(state.sum.slice(), x), count: state.count + 1 };
    if (!hasLogits) {
      return { state: after };
    }
    addTo(x, after.sum.map((value) => value / after.count));
    const hidden = layer("hidden.0", x).map(Math.tanh);
    addTo(x, layer("hidden.2", hidden));
    return { logits: layer("output", x), state: after, hidden };
  }
}
