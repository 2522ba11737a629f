// Embeddings of tokens and labels.

import { addTo, rowOf } from "./arithmetic.js";

/** A vector per token, plus one per label if there are labels. */
export class TokenEmbedding {
  constructor(tensors) {
    this.tokens = tensors["embedding.weight"];
    this.labels = tensors["embedding.labels.weight"];
    this.vocabSize = this.tokens.shape[0];
    this.width = this.tokens.shape[1];
    this.shown = { rows: this.tokens.values, width: this.width };
  }

  /** Vector of an id, which is label * V + token; nobody writes into the vector. */
  vector(id) {
    const row = rowOf(this.tokens, id % this.vocabSize);
    return this.labels ? addTo(Float64Array.from(row), rowOf(this.labels, Math.floor(id / this.vocabSize))) : row;
  }
}

/** Vector of a position; positions beyond the table share its last vector. */
export function positionVector(table, position) {
  return rowOf(table, Math.min(position, table.shape[0] - 1));
}
