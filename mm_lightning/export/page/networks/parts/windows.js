// What networks share that see a window of C ids, and networks that see all ids.

const MAX_KEPT_LOGITS = 1 << 22;

/** A network whose logits depend on the last C ids. A subclass has `compute(window)`, and `units(window)` or null. */
export class WindowNetwork {
  constructor(context, vocabSize, embedding) {
    this.context = context;
    this.vocabSize = vocabSize;
    this.tokenEmbedding = embedding;
    this.embedding = embedding && embedding.shown;
    this.kept = new Map();
  }

  read(ids, state) {
    const window = this.windowOf(state ? state.concat(ids) : ids);
    return { logits: this.windowLogits(window), state: window };
  }

  windowLogits(window) {
    const key = window.join();
    let logits = this.kept.get(key);
    if (logits === undefined) {
      if ((this.kept.size + 1) * this.vocabSize > MAX_KEPT_LOGITS) {
        this.kept.clear();
      }
      logits = this.compute(window);
      this.kept.set(key, logits);
    }
    return logits;
  }

  inside(ids) {
    const window = this.windowOf(ids);
    const embedding = this.tokenEmbedding && this.tokenEmbedding.vectors(window);
    return { window, hidden: this.units(window), embedding };
  }

  /** Values in [-1, 1] of the units before the output layer. */
  units() {
    return null;
  }

  /** The last C ids; the first id, which is a boundary, fills the places before an item. */
  windowOf(ids) {
    return [...Array(Math.max(0, this.context - ids.length)).fill(ids[0]), ...ids].slice(-this.context);
  }
}

/** A network whose logits depend on all ids. A subclass has `start()` and `step(id, state) -> {logits, state, hidden}`. */
export class SequenceNetwork {
  constructor(vocabSize, embedding) {
    this.context = null;
    this.vocabSize = vocabSize;
    this.tokenEmbedding = embedding;
    this.embedding = embedding.shown;
  }

  read(ids, state) {
    const last = ids.length - 1;
    return ids.reduce((result, id, i) => this.step(id, result.state, i === last), { state: state ?? this.start() });
  }

  inside(ids) {
    const { hidden } = this.read(ids, null);
    return { window: null, hidden: hidden ? Float32Array.from(hidden) : null, embedding: this.tokenEmbedding.vectors(ids) };
  }
}
