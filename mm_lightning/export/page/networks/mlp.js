// The multi-layer perceptron of Bengio et al. 2003.

import { addProduct, addTo, biasOrZeros, gelu, linear } from "./parts/arithmetic.js";
import { TokenEmbedding } from "./parts/embedding.js";
import { WindowNetwork } from "./parts/windows.js";

const ACTIVATIONS = { tanh: Math.tanh, relu: (x) => Math.max(x, 0), gelu };

/** Layers {weight, bias, norm} of the tensors `hidden.NUMBER....`: a matrix begins a layer, a normalisation follows. */
function hiddenLayers(tensors) {
  const numbers = Object.keys(tensors).flatMap((name) => name.match(/^hidden\.(\d+)\.(?:weight|scale)$/)?.[1] ?? []);
  const layers = [];
  for (const number of numbers.map(Number).sort((a, b) => a - b)) {
    const name = `hidden.${number}`;
    if (tensors[`${name}.weight`]) {
      layers.push({ weight: tensors[`${name}.weight`], bias: tensors[`${name}.bias`], norm: null });
    } else {
      layers.at(-1).norm = { scale: tensors[`${name}.scale`].values, shift: tensors[`${name}.shift`].values };
    }
  }
  return layers;
}

export class MLP extends WindowNetwork {
  constructor(settings, tensors) {
    super(settings.block_size, settings.vocab_size, new TokenEmbedding(tensors));
    this.isTanh = settings.activation === "tanh";
    this.activation = ACTIVATIONS[settings.activation];
    this.layers = hiddenLayers(tensors);
    this.output = { weight: tensors["output.weight"], bias: tensors["output.bias"] };
    this.products = [];
  }

  compute(window) {
    return linear(this.output.weight, this.output.bias, this.hidden(window));
  }

  units(window) {
    return this.isTanh ? Float32Array.from(this.hidden(window)) : null;
  }

  /** Outputs of the last hidden layer. */
  hidden(window) {
    return this.layers.reduce((below, layer) => {
      const sum = below ? linear(layer.weight, layer.bias, below) : this.firstSum(window);
      return this.activate(layer, sum);
    }, null);
  }

  /** Output of the first matrix: a sum of products, since the window is the vectors of its ids end to end. */
  firstSum(window) {
    const { weight, bias } = this.layers[0];
    const sum = biasOrZeros(weight, bias);
    window.forEach((id, position) => addTo(sum, this.product(position, id)));
    return sum;
  }

  /** Product of an id's vector and its part of the first matrix, computed once per position. */
  product(position, id) {
    const ofPosition = (this.products[position] ??= []);
    const { weight } = this.layers[0];
    const { width } = this.tokenEmbedding;
    return (ofPosition[id] ??= addProduct(
      new Float64Array(weight.shape[0]),
      weight,
      this.tokenEmbedding.vector(id),
      position * width,
    ));
  }

  activate({ norm }, x) {
    for (let i = 0; i < x.length; i++) {
      x[i] = this.activation(norm ? x[i] * norm.scale[i] + norm.shift[i] : x[i]);
    }
    return x;
  }
}
