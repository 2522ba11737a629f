// The view Step through: an item grows token by token, by one's own choice or by chance.

import { makeOptions } from "../sampling/options.js";
import { nextProbabilities } from "../sampling/score.js";
import { withLabel } from "../networks/index.js";
import { drawOptionsOf, labelOfItem } from "./address.js";
import { byId, element, percent, whole, write } from "./elements.js";
import { SEEN } from "./score.js";
import { Job } from "./slices.js";
import { tokenElement } from "./tokens.js";
import { drawUnits } from "./drawing/units.js";

const NUM_BARS = 12;
const MAX_BARS = 300;
const MAX_FINISHED_TOKENS = 200; // of an item that chance finishes

/** Draw an index by its probability. */
function drawIndex(probabilities) {
  let rest = Math.random() * probabilities.reduce((sum, value) => sum + value, 0);
  const index = probabilities.findIndex((value) => (rest -= value) < 0);
  return index >= 0 ? index : probabilities.lastIndexOf(Math.max(...probabilities));
}

export class StepView {
  #bars = [];
  #job = new Job();
  #ids = [];
  #showsAll = false;

  constructor(model, page) {
    this.model = model;
    this.page = page;
    byId("step-item").oninput = (event) => this.#change({ item: event.target.value, itemLabel: "", ended: "" });
    byId("step-chance").onclick = () => this.#take(drawIndex(this.#probabilities(this.#ids)));
    byId("step-finish").onclick = () => this.#finish();
    byId("step-undo").onclick = () => this.#undo();
    byId("step-restart").onclick = () => this.#change({ item: "", itemLabel: "", ended: "" });
    byId("step-all").onclick = () => {
      this.#showsAll = !this.#showsAll;
      this.show(page.state);
    };
  }

  /** Show the item of a state, and all that may follow. */
  show(state) {
    const field = byId("step-item");
    if (field.value !== state.item) field.value = state.item;
    const hasEnded = state.ended !== "";
    const focused = document.activeElement;
    write("step-status", "");
    let probabilities = null;
    try {
      this.#ids = this.model.vocabulary.encode(state.item);
      probabilities = this.#probabilities(this.#ids);
    } finally {
      for (const id of ["step-context", "step-bars", "step-inside", "step-all"]) byId(id).hidden = !probabilities;
      for (const id of ["step-chance", "step-finish"]) byId(id).disabled = !probabilities || hasEnded;
      byId("step-undo").disabled = !probabilities || (this.#ids.length === 0 && !hasEnded);
    }
    this.#showContext();
    this.#showBars(probabilities, hasEnded);
    if (focused?.disabled) byId(hasEnded ? "step-undo" : "step-chance").focus(); // else the keyboard loses its place
    if (hasEnded) write("step-status", `The item has ended.${SEEN[this.model.isSeen(state.item)]}`);
  }

  /** End work that nobody waits for. */
  hide() {
    this.#job.stop();
  }

  #change(changes) {
    this.#job.stop();
    this.page.update(changes);
  }

  #probabilities(ids) {
    const options = makeOptions(drawOptionsOf(this.page.state));
    return nextProbabilities(this.model, ids, options);
  }

  #take(id) {
    if (id === 0) this.#change({ ended: "1" });
    else this.#change({ item: this.model.vocabulary.decode([...this.#ids, id]), ended: "" });
  }

  #undo() {
    if (this.page.state.ended) this.#change({ ended: "" });
    else this.#change({ item: this.model.vocabulary.decode(this.#ids.slice(0, -1)) });
  }

  async #finish() {
    const ids = [...this.#ids];
    const show = (drawn, isDone) => {
      ids.push(...drawn);
      const hasEnded = isDone && ids.length < MAX_FINISHED_TOKENS;
      this.page.update({ item: this.model.vocabulary.decode(ids), ended: hasEnded ? "1" : "" });
    };
    try {
      await this.#job.run(this.#drawRest(ids), () => false, show);
    } catch (error) {
      this.page.showError(error);
    }
  }

  /** Draw tokens to the end of an item. */
  *#drawRest(start) {
    const ids = [...start];
    while (ids.length < MAX_FINISHED_TOKENS) {
      const id = drawIndex(this.#probabilities(ids));
      if (id === 0) return;
      ids.push(id);
      yield id;
    }
  }

  #showContext() {
    const { network, labels, names } = this.model;
    const label = Math.max(0, labels.indexOf(labelOfItem(this.page.state))); // without a choice, one network must be shown
    const view = labels.length ? withLabel(network, label) : network;
    const { window, hidden } = view.inside([0, ...this.#ids]);
    const ids = window ?? [0, ...this.#ids];
    write("step-context-title", window
      ? `The network sees the last ${ids.length === 1 ? names.unit : `${whole(ids.length)} ${names.unit}s`}`
      : "The network has read the whole item");
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
