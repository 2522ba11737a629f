// The hierarchical network after WaveNet: each level joins neighbouring positions in pairs.

import { linear } from "./parts/arithmetic.js";
import { TokenEmbedding } from "./parts/embedding.js";
import { WindowNetwork } from "./parts/windows.js";

export class WaveNet extends WindowNetwork {
  constructor(settings, tensors) {
    super(settings.block_size, settings.vocab_size, new TokenEmbedding(tensors));
    this.levels = Array.from({ length: Math.log2(this.context) }, (_, i) => ({
      weight: tensors[`levels.${i}.linear.weight`],
      scale: tensors[`levels.${i}.norm.scale`].values,
      shift: tensors[`levels.${i}.norm.shift`].values,
    }));
    this.output = { weight: tensors["output.weight"], bias: tensors["output.bias"] };
  }

  compute(window) {
    return linear(this.output.weight, this.output.bias, this.top(window));
  }

  units(window) {
    return Float32Array.from(this.top(window));
  }

  /** Join all positions level by level, to one vector. */
  top(window) {
    let vectors = window.map((id) => this.tokenEmbedding.vector(id));
    for (const { weight, scale, shift } of this.levels) {
      const joined = [];
      for (let i = 0; i < vectors.length; i += 2) {
        const sum = linear(weight, null, Float64Array.of(...vectors[i], ...vectors[i + 1]));
        joined.push(sum.map((value, unit) => Math.tanh(value * scale[unit] + shift[unit])));
      }
      vectors = joined;
    }
    return vectors[0];
  }
}
