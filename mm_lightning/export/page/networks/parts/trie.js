// Counts of n-grams by context, as flat arrays.
//
// Level d holds the contexts of d tokens, the nodes, sorted by their newest token, then the token before it. So the
// contexts that end with the same d tokens follow each other in level d + 1: they are the children of a node.

import { TWO_32 } from "./tensors.js";

/** Split packed numbers into base-`size` digits, most significant first: an array per digit; the first has the rest. */
export function digitColumns({ low, high }, size, numDigits) {
  const columns = Array.from({ length: numDigits }, () => new Uint32Array(low.length));
  for (let i = 0; i < low.length; i++) {
    let top = high[i];
    let rest = low[i];
    for (let digit = numDigits - 1; digit > 0; digit--) {
      const quotient = Math.floor(top / size);
      const remainder = (top - quotient * size) * TWO_32 + rest; // below 2^53 for a size below 2^21
      top = quotient;
      rest = Math.floor(remainder / size);
      columns[digit][i] = remainder - rest * size;
    }
    columns[0][i] = top * TWO_32 + rest;
  }
  return columns;
}

/** Order of the rows by the columns, the first column least significant: a stable counting sort per column. */
function sortedRows(columns, numRows, size) {
  let rows = Uint32Array.from({ length: numRows }, (_, i) => i);
  for (const column of columns) {
    const places = new Uint32Array(size + 1);
    for (let i = 0; i < numRows; i++) {
      places[column[i] + 1]++;
    }
    for (let i = 0; i < size; i++) {
      places[i + 1] += places[i];
    }
    const sorted = new Uint32Array(numRows);
    for (let i = 0; i < numRows; i++) {
      sorted[places[column[rows[i]]]++] = rows[i];
    }
    rows = sorted;
  }
  return rows;
}

function differs(columns, row, other) {
  return columns.some((column) => column[row] !== column[other]);
}

/** Sort n-grams by context and token, and join equal ones; `kinds` counts how many were joined. */
function joinedRows(columns, occurrences, size) {
  const target = columns.length - 1;
  const rows = sortedRows([columns[target], ...columns.slice(0, target)], occurrences.length, size);
  const sums = new Float64Array(rows.length);
  const kinds = new Float64Array(rows.length);
  const kept = [];
  for (let i = 0; i < rows.length; i++) {
    if (!i || differs(columns, rows[i], rows[i - 1])) {
      kept.push(rows[i]);
    }
    sums[kept.length - 1] += occurrences[rows[i]];
    kinds[kept.length - 1]++;
  }
  return {
    columns: columns.map((column) => Uint32Array.from(kept, (row) => column[row])),
    occurrences: sums.subarray(0, kept.length),
    kinds: kinds.subarray(0, kept.length),
  };
}

/** Positions at which the columns change along the rows, the first included; then the number of rows. */
function changes(columns, rows) {
  const result = [];
  for (let i = 0; i < rows.length; i++) {
    if (!i || differs(columns, rows[i], rows[i - 1])) {
      result.push(i);
    }
  }
  result.push(rows.length);
  return Uint32Array.from(result);
}

/** Numbers of n-grams with a count of 1, 2, 3 and 4, without those that begin with two boundaries. */
function countsOfCounts(context, counts) {
  const result = [0, 0, 0, 0];
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] <= 4 && !(context.length > 1 && context[0][i] === 0 && context[1][i] === 0)) {
      result[counts[i] - 1]++;
    }
  }
  return result;
}

/**
 * Make the level of contexts of `depth` tokens.
 *
 * Node n has the tokens and counts from starts[n] to starts[n + 1]; its oldest token is oldest[n]. Node p of the level
 * above has the nodes from families[p] to families[p + 1] as children.
 */
function levelOf({ columns, occurrences, kinds }, depth, isLongest) {
  const context = columns.slice(0, depth);
  const starts = changes(context, columns[depth].map((_, row) => row));
  const nodeRows = starts.subarray(0, -1);
  // distinct tokens before an n-gram count; no token stands before the beginning of an item, so its occurrences count
  const counts = kinds.map((kind, i) => (isLongest || (depth && context[0][i] === 0) ? occurrences[i] : kind));
  return {
    starts,
    tokens: columns[depth],
    counts,
    countsOfCounts: countsOfCounts(context, counts),
    oldest: depth ? nodeRows.map((row) => context[0][row]) : null,
    families: depth ? changes(context.slice(1), nodeRows) : null,
  };
}

/** Node of a level with this parent and oldest token; -1 if there is none. */
function child({ oldest, families }, parent, token) {
  let low = families[parent];
  const end = families[parent + 1];
  let high = end;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (oldest[middle] < token) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < end && oldest[low] === token ? low : -1;
}

/**
 * Kneser-Ney counts after contexts of 0 to C tokens.
 *
 * The longest n-grams count occurrences; a shorter one counts the distinct tokens before it.
 */
export class CountTrie {
  /** Make it from the tokens of n-grams, an array per place, the oldest first, and their numbers of occurrences. */
  constructor(columns, occurrences, vocabSize) {
    this.levels = [];
    let grams = { columns, occurrences };
    for (let depth = columns.length - 1; depth >= 0; depth--) {
      grams = joinedRows(grams.columns, grams.occurrences, vocabSize);
      this.levels.unshift(levelOf(grams, depth, depth === columns.length - 1));
      grams.columns = grams.columns.slice(1);
    }
  }

  /** Nodes of the last 0, 1, 2, ... tokens of a context, as far as they were seen. */
  path(context) {
    const nodes = this.levels[0].tokens.length ? [0] : [];
    for (let depth = 1; nodes.length === depth && depth <= context.length; depth++) {
      const node = child(this.levels[depth], nodes[depth - 1], context[context.length - depth]);
      if (node >= 0) {
        nodes.push(node);
      }
    }
    return nodes;
  }
}
