// The model that the page carries: a description as JSON, and all numbers as one binary.

import { makeNetwork } from "./networks/index.js";

/** Read bytes from text that has 13 bits in two of 91 characters, the lowest bit first. */
export function decodeBinary(text) {
  const bytes = new Uint8Array(Math.floor((text.length * 13) / 16));
  const valueAt = (i) => {
    const code = text.charCodeAt(i);
    return code - 33 - (code > 34) - (code > 60) - (code > 92);
  };
  let bits = 0;
  let numBits = 0;
  let at = 0;
  for (let i = 0; i < text.length; i += 2) {
    bits |= (valueAt(i) * 91 + valueAt(i + 1)) << numBits;
    for (numBits += 13; numBits >= 8; numBits -= 8) {
      bytes[at++] = bits;
      bits >>= 8;
    }
  }
  return bytes;
}

/** Open the model in the text of the page's element `model`. */
export function openModel(text) {
  const { json, binary } = JSON.parse(text);
  const { buffer } = decodeBinary(binary);
  const { vocabulary, labels, labelShares, network, facts, seen } = json;
  return {
    vocabularyDescription: vocabulary,
    labels,
    labelShares,
    network: makeNetwork(network, buffer),
    facts,
    seen: seen && { ...seen, bytes: new Uint8Array(buffer, seen.offset, seen.numBytes) },
  };
}
