// The model that the page carries: a description as JSON, and all numbers as one binary in base64.

import { makeNetwork } from "./networks/index.js";

function decodeBase64(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < characters.length; i++) {
    bytes[i] = characters.charCodeAt(i);
  }
  return bytes;
}

/** Open the model in the text of the page's element `model`. */
export function openModel(text) {
  const { json, binary } = JSON.parse(text);
  const { buffer } = decodeBase64(binary);
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
