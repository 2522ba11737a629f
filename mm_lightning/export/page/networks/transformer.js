// The Transformer in the form of GPT-2; keys and values of earlier positions are the state.

import { addTo, gelu, layerNorm, linear } from "./parts/arithmetic.js";
import { TokenEmbedding, positionVector } from "./parts/embedding.js";
import { SequenceNetwork } from "./parts/windows.js";

/** Mean of the values (vectors) by the softmax of query * key, head by head. */
function attend(query, keys, values, numHeads) {
  const width = query.length / numHeads;
  const result = new Float64Array(query.length);
  for (let start = 0; start < query.length; start += width) {
    const scores = keys.map((key) => {
      let sum = 0;
      for (let i = start; i < start + width; i++) {
        sum += query[i] * key[i];
      }
      return sum / Math.sqrt(width);
    });
    const max = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - max));
    const total = weights.reduce((a, b) => a + b, 0);
    weights.forEach((weight, position) => {
      for (let i = start; i < start + width; i++) {
        result[i] += (weight / total) * values[position][i];
      }
    });
  }
  return result;
}

export class Transformer extends SequenceNetwork {
  constructor(settings, tensors) {
    super(settings.vocab_size, new TokenEmbedding(tensors));
    this.tensors = tensors;
    this.numLayers = settings.num_layers;
    this.numHeads = settings.num_heads;
  }

  start() {
    return Array.from({ length: this.numLayers }, () => ({ keys: [], values: [] }));
  }

  step(id, state, hasLogits) {
    const x = Float64Array.from(this.tokenEmbedding.vector(id));
    addTo(x, positionVector(this.tensors["positions.weight"], state[0].keys.length));
    const after = state.map((past, i) => this.addLayer(`layers.${i}`, x, past));
    return { logits: hasLogits ? this.apply("output", this.norm("norm", x)) : null, state: after };
  }

  /** Add a layer's outputs to x; return the keys and values with the new ones. */
  addLayer(name, x, past) {
    const projected = this.apply(`${name}.attention.project_in`, this.norm(`${name}.norm_attention`, x));
    const [query, key, value] = [0, 1, 2].map((i) => projected.subarray(i * x.length, (i + 1) * x.length));
    const [keys, values] = [[...past.keys, key], [...past.values, value]];
    addTo(x, this.apply(`${name}.attention.project_out`, attend(query, keys, values, this.numHeads)));
    const wide = this.apply(`${name}.widen`, this.norm(`${name}.norm_mlp`, x)).map(gelu);
    addTo(x, this.apply(`${name}.narrow`, wide));
    return { keys, values };
  }

  apply(name, x) {
    return linear(this.tensors[`${name}.weight`], this.tensors[`${name}.bias`], x);
  }

  norm(name, x) {
    return layerNorm(x, this.tensors[`${name}.weight`], this.tensors[`${name}.bias`]);
  }
}
