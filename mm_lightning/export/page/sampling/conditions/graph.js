// The pairs of a window of ids and a state of the condition that prefixes can reach.
//
// The next id depends on the window alone, and the condition on the state alone. Often the window determines the state,
// so far fewer pairs are reachable than there are windows times states.

// Nodes 0 to size - 1; the last node rejects every continuation.
//
// Attributes: `windows` (P - 1,): the window of each other node, its ids as digits, the last id lowest. `nextNodes`
// (P, V): the next node by node and id. `accepting` (P,): whether an item may end in the node. `start`: the node after
// the prefix.
export class Graph {
  constructor(condition, context) {
    this.condition = condition;
    this.context = context;
    this.vocabSize = condition.vocabulary.size;
    this.numWindows = this.vocabSize ** context;
    this.numbers = new Map(); // state -> number of each window's node, plus 1
    this.windows = [];
    this.states = [];
    const window = condition.prefix.reduce((digits, id) => (digits * this.vocabSize + id) % this.numWindows, 0);
    this.start = this.numberOf(window, condition.start);
  }

  get size() {
    return this.windows.length + 1;
  }

  // Return the number of a node, which is a new one where the pair is met for the first time.
  numberOf(window, state) {
    let numbers = this.numbers.get(state);
    if (numbers === undefined) this.numbers.set(state, (numbers = new Int32Array(this.numWindows)));
    if (numbers[window] === 0) {
      numbers[window] = this.windows.push(window);
      this.states.push(state);
    }
    return numbers[window] - 1;
  }

  // Return the node after one more id; -1 for the last node.
  next(node, id) {
    const state = this.condition.transitions[this.states[node] * this.vocabSize + id];
    if (state === this.condition.rejected) return -1;
    return this.numberOf((this.windows[node] * this.vocabSize + id) % this.numWindows, state);
  }

  // Find all nodes; false if they have more than `maxEdges` edges.
  explore(maxEdges) {
    const maxNodes = Math.floor(maxEdges / this.vocabSize);
    for (let node = 0; node < this.windows.length; node++) {
      for (let id = 0; id < this.vocabSize; id++) this.next(node, id);
      if (this.size > maxNodes) return false;
    }
    return true;
  }

  // Store the edges, and let go of what only the search needs.
  finish() {
    const last = this.windows.length;
    this.nextNodes = new Int32Array(this.size * this.vocabSize).fill(last);
    for (let node = 0; node < last; node++) {
      for (let id = 0; id < this.vocabSize; id++) {
        const next = this.next(node, id);
        if (next >= 0) this.nextNodes[node * this.vocabSize + id] = next;
      }
    }
    this.accepting = Uint8Array.from([...this.states, this.condition.rejected], (s) => this.condition.accepting[s]);
    this.numbers.clear();
  }
}

// Make the graph of a condition for windows of `context` ids; null if it has more than `maxEdges` edges.
export function makeGraph(condition, context, maxEdges) {
  const graph = new Graph(condition, context);
  if (!graph.explore(maxEdges)) return null;
  graph.finish();
  return graph;
}
