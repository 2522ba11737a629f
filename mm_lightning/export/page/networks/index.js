// Networks by the name of their class. Nothing outside this folder asks which network it has.
//
// A network has: context, the number of ids that the logits depend on, or null; vocabSize; embedding; and
// - read(ids, state) -> {logits, state}: state null at the start, where the first id is the boundary;
// - windowLogits(window) -> logits, if context is not null;
// - inside(ids) -> {window, hidden}: what the page shows of the network after these ids.
// An id is label * V + token for a network with labels. Results may be kept by the network: nobody writes into them.

import { BagOfWords } from "./bag_of_words.js";
import { KneserNey, NGram, PitmanYor } from "./counted.js";
import { Mixture } from "./mixture.js";
import { MLP } from "./mlp.js";
import { GRU, LSTM, RNN } from "./recurrent.js";
import { Bigram, Table } from "./table.js";
import { readTensors } from "./parts/tensors.js";
import { Transformer } from "./transformer.js";
import { WaveNet } from "./wavenet.js";

const NETWORK_CLASSES = {
  BagOfWords,
  Bigram,
  GRU,
  KneserNey,
  LSTM,
  MLP,
  Mixture,
  NGram,
  PitmanYor,
  RNN,
  Table,
  Transformer,
  WaveNet,
};

/** Make the network that a description names, with its tensors from the binary. */
export function makeNetwork(description, binary) {
  const members = (description.members ?? []).map((member) => makeNetwork(member, binary));
  const tensors = readTensors(description.tensors, binary);
  return new NETWORK_CLASSES[description.class](description.settings, tensors, members);
}

class LabelledNetwork {
  constructor(network, label) {
    this.network = network;
    this.offset = label * network.vocabSize;
    this.context = network.context;
    this.vocabSize = network.vocabSize;
    this.embedding = network.embedding;
  }

  read(ids, state) {
    return this.network.read(this.labelled(ids), state);
  }

  windowLogits(window) {
    return this.network.windowLogits(this.labelled(window));
  }

  inside(ids) {
    const result = this.network.inside(this.labelled(ids));
    return { ...result, window: result.window && result.window.map((id) => id - this.offset) };
  }

  labelled(ids) {
    return ids.map((id) => id + this.offset);
  }
}

/** Make a view of a network for one label: the view reads tokens, as a network without labels. */
export function withLabel(network, label) {
  return new LabelledNetwork(network, label);
}
