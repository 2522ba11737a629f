// Networks that are a table of logits: the bigram, and any network of a short context whose windows were all computed.

import { rowOf } from "./parts/arithmetic.js";
import { WindowNetwork } from "./parts/windows.js";

/** Logits (labels, V^C, V) of all windows, in the order of the numbers whose base-V digits are the window's ids. */
export class Table extends WindowNetwork {
  constructor(settings, tensors) {
    super(settings.block_size, settings.vocab_size, null);
    this.rows = tensors.rows;
    this.table = { values: this.rows.values, shape: [this.rows.shape[0] * this.rows.shape[1], settings.vocab_size] };
  }

  windowLogits(window) {
    const size = this.vocabSize;
    const label = Math.floor(window[0] / size);
    return rowOf(this.table, window.reduce((number, id) => number * size + (id % size), label));
  }
}

/** A row of logits per id. */
export class Bigram extends WindowNetwork {
  constructor(settings, tensors) {
    super(1, settings.vocab_size, null);
    this.weight = tensors["weight.weight"];
  }

  windowLogits(window) {
    return rowOf(this.weight, window[0]);
  }
}
