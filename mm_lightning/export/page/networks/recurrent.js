// Recurrent networks: plain, GRU and LSTM cells, in stacked layers.

import { linear, sigmoid } from "./parts/arithmetic.js";
import { TokenEmbedding } from "./parts/embedding.js";
import { SequenceNetwork } from "./parts/windows.js";

/** A network of stacked layers. A subclass has `cell(fromInput, fromHidden, {hidden, memory})`, the next state. */
class RecurrentNetwork extends SequenceNetwork {
  constructor(settings, tensors) {
    super(settings.vocab_size, new TokenEmbedding(tensors));
    const name = (part, layer) => tensors[`recurrence.${part}_l${layer}`];
    this.layers = Array.from({ length: settings.num_layers }, (_, i) => ({
      fromInput: [name("weight_ih", i), name("bias_ih", i)],
      fromHidden: [name("weight_hh", i), name("bias_hh", i)],
    }));
    this.size = this.layers[0].fromHidden[0].shape[1];
    this.output = [tensors["output.weight"], tensors["output.bias"]];
    this.products = [];
  }

  start() {
    return this.layers.map(() => ({ hidden: new Float64Array(this.size), memory: new Float64Array(this.size) }));
  }

  step(id, state, hasLogits) {
    let below = null;
    const after = this.layers.map((layer, i) => {
      const fromInput = i ? linear(...layer.fromInput, below) : this.product(id);
      const next = this.cell(fromInput, linear(...layer.fromHidden, state[i].hidden), state[i]);
      below = next.hidden;
      return next;
    });
    return { logits: hasLogits ? linear(...this.output, below) : null, state: after, hidden: below };
  }

  /** Product of an id's vector and the first matrix, computed once. */
  product(id) {
    return (this.products[id] ??= linear(...this.layers[0].fromInput, this.tokenEmbedding.vector(id)));
  }
}

export class RNN extends RecurrentNetwork {
  cell(fromInput, fromHidden) {
    return { hidden: fromHidden.map((value, i) => Math.tanh(fromInput[i] + value)) };
  }
}

export class GRU extends RecurrentNetwork {
  cell(fromInput, fromHidden, { hidden }) {
    const size = this.size;
    const after = new Float64Array(size);
    for (let i = 0; i < size; i++) {
      const reset = sigmoid(fromInput[i] + fromHidden[i]);
      const update = sigmoid(fromInput[size + i] + fromHidden[size + i]);
      const candidate = Math.tanh(fromInput[2 * size + i] + reset * fromHidden[2 * size + i]);
      after[i] = candidate + update * (hidden[i] - candidate);
    }
    return { hidden: after };
  }
}

export class LSTM extends RecurrentNetwork {
  cell(fromInput, fromHidden, { memory }) {
    const size = this.size;
    const hidden = new Float64Array(size);
    const after = new Float64Array(size);
    const gate = (number, i) => fromInput[number * size + i] + fromHidden[number * size + i];
    for (let i = 0; i < size; i++) {
      after[i] = sigmoid(gate(1, i)) * memory[i] + sigmoid(gate(0, i)) * Math.tanh(gate(2, i));
      hidden[i] = sigmoid(gate(3, i)) * Math.tanh(after[i]);
    }
    return { hidden, memory: after };
  }
}
