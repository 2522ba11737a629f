// A Bloom filter (1970) of the training items: says whether an item is among them, without a list of them.
//
// An item that is among them is always found. Another item is found too at the stated error rate.

const MASK_64 = (1n << 64n) - 1n;

// The finaliser of SplitMix64 (Steele, Lea and Flood 2014), as `Items.hashes` uses it.
function mix64(value) {
  value = (value + 0x9e3779b97f4a7c15n) & MASK_64;
  value = ((value ^ (value >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK_64;
  value = ((value ^ (value >> 27n)) * 0x94d049bb133111ebn) & MASK_64;
  return value ^ (value >> 31n);
}

// Return the hash of a text, `Items.hashes` in Python: the mixed sum of its mixed (position, code point) pairs.
export function hashText(text) {
  const pairs = Array.from(text, (character, i) => (BigInt(i) << 32n) | BigInt(character.codePointAt(0)));
  return mix64(pairs.reduce((sum, pair) => (sum + mix64(pair)) & MASK_64, 0n));
}

export class BloomFilter {
  // `seen`: {bytes, numBits, numHashes}, as `openModel` returns it.
  constructor(seen) {
    this.seen = seen;
  }

  has(text) {
    const { bytes, numBits, numHashes } = this.seen;
    const hash = hashText(text);
    const first = Number(hash & 0xffffffffn);
    const stride = Number(hash >> 32n);
    for (let i = 0; i < numHashes; i++) {
      const bit = (first + i * stride) % numBits;
      if (!((bytes[bit >>> 3] >>> (bit & 7)) & 1)) return false;
    }
    return true;
  }
}
