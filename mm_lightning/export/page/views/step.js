// The view Step through: an item grows token by token, by one's own choice or by chance.

import { makeOptions } from "../sampling/options.js";
import { nextProbabilities } from "../sampling/score.js";
import { withLabel } from "../networks/index.js";
import { drawOptionsOf } from "./address.js";
import { byId, element, percent, whole } from "./elements.js";
import { tokenElement } from "./tokens.js";
import { drawUnits } from "./drawing/units.js";

const NUM_BARS = 12;
const MAX_BARS = 300;
const MAX_FINISHED_TOKENS = 1000; // of an item that chance finishes

/** Draw an index by its probability. */
function drawIndex(probabilities) {
  let rest = Math.random() * probabilities.reduce((sum, value) => sum + value, 0);
  const index = probabilities.findIndex((value) => (rest -= value) < 0);
  return index >= 0 ? index : probabilities.lastIndexOf(Math.max(...probabilities));
}

export class StepView {
  #bars = [];
  #ids = [];
  #showsAll = false;

  constructor(model, page) {
    this.model = model;
    this.page = page;
    byId("step-item").oninput = (event) => page.update({ item: event.target.value, ended: "" });
    byId("step-chance").onclick = () => this.#take(drawIndex(this.#probabilities(this.#ids)));
    byId("step-finish").onclick = () => this.#finish();
    byId("step-undo").onclick = () => this.#undo();
    byId("step-restart").onclick = () => page.update({ item: "", ended: "" });
    byId("step-all").onclick = () => {
      this.#showsAll = !this.#showsAll;
      this.show(page.state);
    };
  }

  /** Show the item of a state, and all that may follow. */
  show(state) {
    const field = byId("step-item");
    if (field.value !== state.item) field.value = state.item;
    const parts = ["step-context", "step-bars", "step-inside", "step-all"].map(byId);
    const buttons = ["step-chance", "step-finish"].map(byId);
    const hasEnded = state.ended !== "";
    for (const button of buttons) button.disabled = true;
    byId("step-undo").disabled = state.item === "" && !hasEnded;
    for (const part of parts) part.hidden = true;
    byId("step-status").textContent = "";
    this.#ids = this.model.vocabulary.encode(state.item);
    const probabilities = this.#probabilities(this.#ids);
    for (const part of parts) part.hidden = false;
    for (const button of buttons) button.disabled = hasEnded;
    this.#showContext();
    this.#showBars(probabilities, hasEnded);
    if (hasEnded) byId("step-status").textContent = `The item has ended. ${this.#mark(state.item)}`;
  }

  #probabilities(ids) {
    const options = makeOptions(drawOptionsOf(this.page.state));
    return nextProbabilities(this.model, ids, options);
  }

  #mark(item) {
    if (!this.model.seen || item === "") return "";
    return this.model.seen.has(item) ? "It is in the training list." : "It is new.";
  }

  #take(id) {
    if (id === 0) this.page.update({ ended: "1" });
    else this.page.update({ item: this.model.vocabulary.decode([...this.#ids, id]), ended: "" });
  }

  #undo() {
    if (this.page.state.ended) this.page.update({ ended: "" });
    else this.page.update({ item: this.model.vocabulary.decode(this.#ids.slice(0, -1)) });
  }

  #finish() {
    const ids = [...this.#ids];
    let id = drawIndex(this.#probabilities(ids));
    while (id !== 0 && ids.length < MAX_FINISHED_TOKENS) {
      ids.push(id);
      id = drawIndex(this.#probabilities(ids));
    }
    this.page.update({ item: this.model.vocabulary.decode(ids), ended: id === 0 ? "1" : "" });
  }

  #showContext() {
    const { network, labels, names } = this.model;
    const label = Math.max(0, labels.indexOf(this.page.state.label)); // without a choice, one network must be shown
    const view = labels.length ? withLabel(network, label) : network;
    const { window, hidden } = view.inside([0, ...this.#ids]);
    const ids = window ?? [0, ...this.#ids];
    byId("step-context-title").textContent = window
      ? `The network sees the last ${whole(ids.length)} ${names.unit}${ids.length === 1 ? "" : "s"}`
      : "The network has read the whole item";
    byId("step-context").dir = names.direction;
    byId("step-context").replaceChildren(
      ...Array.from(ids, (id) => element("li", {}, tokenElement(names.texts[id], "start"))));
    byId("step-inside").hidden = !hidden;
    if (hidden) drawUnits(byId("step-units"), byId("step-units-note"), hidden, labels[label]);
  }

  #showBars(probabilities, hasEnded) {
    const { names } = this.model;
    const order = Array.from(probabilities.keys()).filter((id) => probabilities[id] > 0);
    order.sort((a, b) => probabilities[b] - probabilities[a] || a - b);
    const shown = order.slice(0, this.#showsAll ? MAX_BARS : NUM_BARS);
    while (this.#bars.length < shown.length) this.#addBar();
    this.#bars.forEach((bar, i) => {
      bar.row.hidden = i >= shown.length;
      if (bar.row.hidden) return;
      const id = shown[i];
      bar.id = id;
      bar.button.disabled = hasEnded;
      bar.token.replaceChildren(tokenElement(names.texts[id], "end"));
      bar.track.style.setProperty("--part", `${100 * probabilities[id] / probabilities[shown[0]]}%`);
      bar.value.textContent = percent(probabilities[id]);
    });
    const more = byId("step-all");
    more.hidden = order.length <= NUM_BARS;
    more.textContent = this.#showsAll ? `Show the first ${NUM_BARS}` : `Show all ${whole(Math.min(order.length, MAX_BARS))}`;
  }

  #addBar() {
    const bar = {
      token: element("span", {}),
      track: element("span", { className: "track" }, element("i", {})),
      value: element("span", { className: "value" }),
    };
    bar.button = element("button", { type: "button", className: "bar" }, bar.token, bar.track, bar.value);
    bar.button.onclick = () => this.#take(bar.id);
    bar.row = element("li", {}, bar.button);
    this.#bars.push(bar);
    byId("step-bars").append(bar.row);
  }
}
