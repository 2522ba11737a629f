// Approximate sampling under a condition, for a network whose context is too long for a table.
//
// This is sequential Monte Carlo (Doucet et al. 2001), as in `predict`. The proposal for the next id is the
// network's own probability times the backward message of a table model. Each particle carries an importance weight
// that corrects the errors of the messages. Where the weights become uneven, copies of particles of high weight
// replace particles of low weight. In the end, one particle becomes the sample. Every sample has particles of its
// own.

import { BOUNDARY } from "../../vocabulary.js";
import { inverseCdf, normalisedProbabilities } from "../probabilities.js";
import { BATCH_SIZE, RandomStream } from "../random_stream.js";
import { Messages } from "./messages.js";
import { proposalModel } from "./proposal.js";

const NUM_PARTICLES = 64; // per sample
const NUM_GROUPS = BATCH_SIZE / NUM_PARTICLES; // samples per batch

// What a particle has read, shared by all its copies; the network reads `unread` once, on first use.
class Reading {
  constructor(parent, unread, state, node) {
    this.parent = parent; // without the last id
    this.unread = unread; // null for an item that has ended
    this.state = state;
    this.node = node;
    this.probabilities = null;
  }

  get ids() {
    const ids = [];
    for (let reading = this; reading.parent !== null; reading = reading.parent) ids.push(...(reading.unread ?? []));
    return ids.reverse();
  }
}

class Resampler {
  isExact = false;
  samplesPerBatch = NUM_GROUPS;

  constructor(network, messages, condition, options) {
    this.network = network;
    this.messages = messages;
    this.condition = condition;
    this.options = options;
  }

  // Yield the ids of each sample of a batch, or null for a sample without an item and while the batch is sampled.
  *sampleBatch(batch) {
    const { condition, messages } = this;
    const stream = new RandomStream([this.options.seed, batch]);
    const start = new Reading(null, [BOUNDARY, ...condition.prefix], null, messages.graph.start);
    let particles = new Array(BATCH_SIZE).fill(start);
    let weights = new Float64Array(BATCH_SIZE).fill(1);
    for (let length = messages.firstLength; length <= condition.maxLength; length++) {
      const uniform = stream.doubles(BATCH_SIZE);
      const moved = [];
      for (let row = 0; row < BATCH_SIZE; row++) {
        moved.push(this.move(particles, weights, row, uniform[row], length));
        if (row % NUM_PARTICLES === 0) yield null;
      }
      for (const particle of particles) particle.state = particle.probabilities = null; // frees memory
      const parents = resampleParticles(weights, stream.doubles(NUM_GROUPS));
      particles = parents.rows.map((row) => moved[row]);
      weights = parents.weights;
      if (!particles.some(isOpenParticle)) break;
    }
    particles.forEach((particle, row) => {
      if (isOpenParticle(particle)) weights[row] = 0; // over the maximum length
    });
    for (const row of chooseParticles(weights, stream.doubles(NUM_GROUPS))) {
      yield row === null ? null : [...condition.prefix, ...particles[row].ids];
    }
  }

  // Return a particle with one more id, and change its weight; a particle whose item has ended stays.
  move(particles, weights, row, uniform, length) {
    const particle = particles[row];
    if (!isOpenParticle(particle)) return particle;
    const { messages, condition } = this;
    this.read(particle);
    const cumulative = messages.nextWeights(length, particle.probabilities, particle.node);
    const gain = cumulative[cumulative.length - 1] / messages.ofLength(length)[particle.node];
    weights[row] *= Number.isFinite(gain) ? gain : 0; // 0 / 0 where the condition is impossible
    const id = weights[row] > 0 ? inverseCdf(cumulative, uniform) : BOUNDARY;
    if (id === BOUNDARY) return new Reading(particle, null, null, null);
    const node = messages.graph.nextNodes[particle.node * condition.vocabulary.size + id];
    return new Reading(particle, [id], particle.state, node);
  }

  read(particle) {
    if (particle.probabilities !== null) return;
    const { logits, state } = this.network.read(particle.unread, particle.state);
    particle.probabilities = normalisedProbabilities(logits, this.condition.vocabulary.unsampled, this.options);
    particle.state = state;
  }
}

function isOpenParticle(particle) {
  return particle.unread !== null;
}

// Return the cumulative weights of the particles of each sample.
function groupSums(weights) {
  return Array.from({ length: NUM_GROUPS }, (_, group) => {
    const sums = weights.slice(group * NUM_PARTICLES, (group + 1) * NUM_PARTICLES);
    for (let i = 1; i < NUM_PARTICLES; i++) sums[i] += sums[i - 1];
    return sums;
  });
}

// Resample the particles of a sample systematically, if its effective number of particles is below one half.
//
// Returns for each row the row of the particle that is copied there, and the new weights, with mean 1.
function resampleParticles(weights, uniform) {
  const rows = Array.from(weights.keys());
  const result = new Float64Array(weights.length);
  groupSums(weights).forEach((sums, group) => {
    const first = group * NUM_PARTICLES;
    const total = sums[NUM_PARTICLES - 1];
    const shares = weights.slice(first, first + NUM_PARTICLES).map((weight) => weight / (total > 0 ? total : 1));
    const isUneven = total > 0 && 1 / shares.reduce((sum, share) => sum + share * share, 0) < NUM_PARTICLES / 2;
    for (let i = 1, sum = shares[0]; i < NUM_PARTICLES; i++) sums[i] = sum += shares[i];
    sums[0] = shares[0];
    for (let i = 0; i < NUM_PARTICLES; i++) {
      result[first + i] = isUneven ? 1 : shares[i] * NUM_PARTICLES;
      if (isUneven) rows[first + i] = first + firstAbove(sums, (uniform[group] + i) / NUM_PARTICLES);
    }
  });
  return { rows, weights: result };
}

// Return the first index whose sum is above the target; where rounding lifts the target to the last sum, the first
// index that reaches this sum.
function firstAbove(sums, target) {
  const last = sums[sums.length - 1];
  return sums.findIndex((sum) => (target < last ? sum > target : sum >= last));
}

// Sample the row of one particle by weight for each sample; null where all weights are zero.
function chooseParticles(weights, uniform) {
  return groupSums(weights).map((sums, group) =>
    sums[NUM_PARTICLES - 1] > 0 ? group * NUM_PARTICLES + inverseCdf(sums, uniform[group]) : null,
  );
}

// Make the approximate sampler of a network; `messages` are exact ones, or null for those of a proposal.
export function* approximateSampler(network, condition, options, messages) {
  if (messages === null) {
    const { table, graph } = yield* proposalModel(network, condition, options);
    messages = new Messages(table, graph, condition);
    yield* messages.compute();
  }
  return new Resampler(network, messages, condition, options);
}
