// NumPy's random stream, bit for bit: `np.random.default_rng(entropy).random()`.
//
// The seeding is NumPy's SeedSequence (O'Neill's seed_seq_fe), the generator PCG64 (XSL-RR 128/64, O'Neill 2014). Only
// the same stream lets the page make the items that `predict` makes.

const SEED_POOL_SIZE = 4;
const NUM_LIMBS = 8; // of 16 bits: their products and sums are exact in a double
// The low limb first.
const PCG_MULTIPLIER = Float64Array.of(0xf645, 0x9fcc, 0xdf64, 0x4385, 0x5da4, 0x1fc6, 0xed05, 0x2360);

// Return a function that mixes 32-bit words with a constant, which each call changes.
function makeHash(constant, multiplier) {
  return (word) => {
    let value = word ^ constant;
    constant = Math.imul(constant, multiplier);
    value = Math.imul(value, constant);
    return (value ^ (value >>> 16)) >>> 0;
  };
}

function mixWords(x, y) {
  const value = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
  return (value ^ (value >>> 16)) >>> 0;
}

// Split a whole number below 2^53 into 32-bit words, the low word first.
function wordsOf(number) {
  const high = Math.floor(number / 2 ** 32);
  return high ? [number >>> 0, high] : [number >>> 0];
}

// Return `np.random.SeedSequence(entropy).generate_state(count)`, 32-bit words.
export function seedWords(entropy, count) {
  const words = entropy.flatMap(wordsOf);
  const hash = makeHash(0x43b0d7e5, 0x931e8875);
  const pool = Array.from({ length: SEED_POOL_SIZE }, (_, i) => hash(words[i] ?? 0));
  for (let source = 0; source < SEED_POOL_SIZE; source++) {
    for (let target = 0; target < SEED_POOL_SIZE; target++) {
      if (source !== target) pool[target] = mixWords(pool[target], hash(pool[source]));
    }
  }
  for (const word of words.slice(SEED_POOL_SIZE)) {
    for (let target = 0; target < SEED_POOL_SIZE; target++) pool[target] = mixWords(pool[target], hash(word));
  }
  const output = makeHash(0x8b51f9dd, 0x58f38ded);
  return Array.from({ length: count }, (_, i) => output(pool[i % SEED_POOL_SIZE]));
}

// Add two numbers of 128 bits, in place.
function addLimbs(limbs, others) {
  let carry = 0;
  for (let i = 0; i < NUM_LIMBS; i++) {
    const sum = limbs[i] + others[i] + carry;
    limbs[i] = sum % 0x10000;
    carry = sum < 0x10000 ? 0 : 1;
  }
}

// Return the limbs of two 64-bit words, each given as [low, high] of 32 bits; `high` is the high 64-bit word.
function limbsOf(high, low) {
  return Float64Array.from([...low, ...high].flatMap((word) => [word & 0xffff, word >>> 16]));
}

export class RandomStream {
  constructor(entropy) {
    const words = seedWords(entropy, 4 * 2);
    const [stateHigh, stateLow, streamHigh, streamLow] = [0, 2, 4, 6].map((i) => words.slice(i, i + 2));
    this.increment = limbsOf(streamHigh, streamLow);
    addLimbs(this.increment, this.increment); // shifted by one bit, then made odd
    this.increment[0] += 1;
    this.state = new Float64Array(NUM_LIMBS);
    this.next = new Float64Array(NUM_LIMBS); // its memory is used again
    this.step();
    addLimbs(this.state, limbsOf(stateHigh, stateLow));
    this.step();
  }

  // state = state * PCG_MULTIPLIER + increment, modulo 2^128.
  step() {
    const { state, next, increment } = this;
    let carry = 0;
    for (let i = 0; i < NUM_LIMBS; i++) {
      let sum = carry + increment[i];
      for (let j = 0; j <= i; j++) sum += state[j] * PCG_MULTIPLIER[i - j];
      carry = Math.floor(sum / 0x10000);
      next[i] = sum - carry * 0x10000;
    }
    this.state = next;
    this.next = state;
  }

  // Return the next number in [0, 1): the upper 53 bits of the output.
  double() {
    this.step();
    const s = this.state;
    const low = ((s[0] ^ s[4]) | ((s[1] ^ s[5]) << 16)) >>> 0;
    const high = ((s[2] ^ s[6]) | ((s[3] ^ s[7]) << 16)) >>> 0;
    const rotation = s[7] >>> 10;
    const shift = rotation & 31;
    const [a, b] = rotation & 32 ? [high, low] : [low, high]; // rotated by 32: [low, high] of the rest
    const rotatedLow = shift ? ((a >>> shift) | (b << (32 - shift))) >>> 0 : a;
    const rotatedHigh = shift ? ((b >>> shift) | (a << (32 - shift))) >>> 0 : b;
    return (rotatedHigh * 2 ** 21 + (rotatedLow >>> 11)) / 2 ** 53;
  }

  doubles(count) {
    return Float64Array.from({ length: count }, () => this.double());
  }
}

export const BATCH_SIZE = 1024; // rows sampled together, as in `predict`

// The random numbers of a batch: one per step and row, made when a step is first asked for.
export class BatchNumbers {
  constructor(seed, batch) {
    this.stream = new RandomStream([seed, batch]);
    this.steps = [];
  }

  at(step, row) {
    while (this.steps.length <= step) this.steps.push(this.stream.doubles(BATCH_SIZE));
    return this.steps[step][row];
  }
}
