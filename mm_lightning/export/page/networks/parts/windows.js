// What networks share that see a window of C ids, and networks that see all ids.

const MAX_KEPT_LOGITS = 1 << 22;

/** The last `context` ids; the first id, which is a boundary, fills the places before an item. */
export function windowOf(ids, context) {
  return [...Array(Math.max(0, context - ids.length)).fill(ids[0]), ...ids].slice(-context);
}

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
    const window = windowOf(state ? state.concat(ids) : ids, this.context);
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
    const window = windowOf(ids, this.context);
    return { window, hidden: this.units(window) };
  }

  /** Values in [-1, 1] of the units before the output layer. */
  units() {
    return null;
  }
}

/**
 * A network whose logits depend on all ids.
 *
 * A subclass has `start()`, a state, and `step(id, state, hasLogits) -> {logits, state, hidden}`, without logits if they
 * are not wanted.
 */
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
    return { window: null, hidden: hidden ? Float32Array.from(hidden) : null };
  }
}
