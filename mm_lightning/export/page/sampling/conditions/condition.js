// The condition on items: prefix, suffix, contained text and bounds of length together, as an automaton over ids.

import { PageError } from "../../vocabulary.js";

// Return the transitions (m + 1, V) of the automaton that finds a text of m ids (Knuth, Morris and Pratt 1977); a state
// is the number of ids of the text that have just been read. `isAbsorbing`: the last state is never left.
function textAutomaton(text, vocabSize, isAbsorbing) {
  const transitions = new Int32Array((text.length + 1) * vocabSize);
  let fallback = 0; // state of the longest end of the read ids that is shorter
  for (let state = 0; state <= text.length; state++) {
    const row = state * vocabSize;
    if (state) transitions.copyWithin(row, fallback * vocabSize, (fallback + 1) * vocabSize);
    if (state === text.length) {
      if (isAbsorbing) transitions.fill(state, row);
      break;
    }
    if (state) fallback = transitions[fallback * vocabSize + text[state]];
    transitions[row + text[state]] = state + 1;
  }
  return transitions;
}

// Attributes: `transitions` (Q, V), the next state by state and id; the last state rejects every continuation.
// `accepting` (Q,): whether an item may end in the state. `start`: the state after the prefix.
export class Condition {
  constructor(vocabulary, options) {
    this.vocabulary = vocabulary;
    this.minLength = options.minLength;
    this.maxLength = options.maxLength;
    this.prefix = vocabulary.encodeSampled(options.prefix);
    this.hasRules = options.suffix !== "" || options.contains !== "";
    this.build(vocabulary.encodeSampled(options.suffix), vocabulary.encodeSampled(options.contains));
    this.start = this.run(this.prefix, 0);
    this.requireAnItem();
  }

  // Make the product of two automata (Rabin and Scott 1959): for the suffix, and for the contained text.
  build(suffix, contained) {
    const size = this.vocabulary.size;
    const bySuffix = textAutomaton(suffix, size, false);
    const byContained = textAutomaton(contained, size, true);
    const numContained = contained.length + 1;
    this.numStates = (suffix.length + 1) * numContained + 1;
    this.rejected = this.numStates - 1;
    this.transitions = new Int32Array(this.numStates * size).fill(this.rejected);
    this.accepting = new Uint8Array(this.numStates);
    this.accepting[this.rejected - 1] = 1; // both texts are read
    const sampled = Array.from(Array(size).keys()).filter((id) => id && !this.vocabulary.unsampled.includes(id));
    for (let state = 0; state < this.rejected; state++) {
      const [a, b] = [Math.floor(state / numContained), state % numContained];
      for (const id of sampled) {
        this.transitions[state * size + id] = bySuffix[a * size + id] * numContained + byContained[b * size + id];
      }
    }
  }

  run(ids, state) {
    return ids.reduce((from, id) => this.transitions[from * this.vocabulary.size + id], state);
  }

  isMet(ids) {
    const isLongEnough = ids.length >= this.minLength && ids.length <= this.maxLength;
    return isLongEnough && this.accepting[this.run(ids, 0)] === 1;
  }

  // Check that some number of ids after the prefix meets all conditions.
  requireAnItem() {
    const size = this.vocabulary.size;
    const shortest = Math.max(this.minLength - this.prefix.length, 0);
    const longest = Math.min(this.maxLength - this.prefix.length, shortest + this.numStates); // no path is longer
    let states = new Set([this.start]);
    for (let length = 0; length <= longest; length++) {
      if (length >= shortest && [...states].some((state) => this.accepting[state])) return;
      const reached = [...states].map((state) => this.transitions.subarray(state * size, (state + 1) * size));
      states = new Set(reached.flatMap((row) => [...new Set(row)]));
    }
    throw new PageError("No item can meet these conditions together: change one of the texts or lengths.");
  }
}

