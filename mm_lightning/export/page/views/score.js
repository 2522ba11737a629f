// The view Score: how surprised the model is by each token of an item.

import { scoreItem } from "../sampling/score.js";
import { labelOfItem } from "./address.js";
import { byId, element, itemsPerHit, percent, write } from "./elements.js";
import { tokenElement } from "./tokens.js";

const FULL_SURPRISE_NATS = 6; // the deepest colour
export const SEEN = { true: " It is in the training list.", false: " It is not in the training list.", null: "" };
const MAX_LABELS = 10;
const MAX_COLOUR_PERCENT = 85; // text stays legible on the deepest colour

export class ScoreView {
  constructor(model, page) {
    this.model = model;
    this.page = page;
    byId("score-item").oninput = (event) => page.update({ item: event.target.value, itemLabel: "", ended: "" });
    page.link(byId("score-step"), () => ({ tab: "step" }));
    write("score-note", `Under each ${model.names.unit}: its surprise in nats, and the probability that the model gave ` +
      "it, which is e to the power of −surprise. A deep colour is a great surprise.");
  }

  /** Score the item of a state. */
  show(state) {
    const { names } = this.model;
    const field = byId("score-item");
    if (field.value !== state.item) field.value = state.item;
    const parts = ["score-note", "score-step"].map(byId);
    for (const part of parts) part.hidden = true;
    for (const id of ["score-tokens", "score-total", "score-labels"]) byId(id).replaceChildren();
    if (state.item === "") {
      write("score-total", "Type an item to see how much each part of it surprises the model.");
      return;
    }
    const { tokens, total, labels } = scoreItem(this.model, state.item, labelOfItem(state) || null);
    const isEnd = (i) => i === tokens.length - 1;
    byId("score-tokens").dir = names.direction;
    byId("score-tokens").replaceChildren(...tokens.map(({ text, nll }, i) => this.#cell(isEnd(i) ? null : text, nll)));
    write("score-total", `${total.toFixed(2)} nats in total, ` +
      `${(total / tokens.length).toFixed(2)} per ${names.unit} with the end. ` +
      `The model ${total < Infinity ? `makes this item about once in ${itemsPerHit(total)} items` : "never makes this item"}.` +
      SEEN[this.model.isSeen(state.item)]);
    const isOneByItem = state.itemLabel !== "" && state.label === "";
    this.#showLabels(isOneByItem ? scoreItem(this.model, state.item).labels : labels);
    for (const part of parts) part.hidden = false;
  }

  #cell(text, nll) {
    const cell = element("li", {},
      tokenElement(text, "end"),
      element("small", { textContent: nll.toFixed(2) }),
      element("small", { textContent: percent(Math.exp(-nll)) }));
    const depth = Math.min(1, nll / FULL_SURPRISE_NATS) * MAX_COLOUR_PERCENT;
    cell.style.setProperty("--part", `${depth}%`);
    return cell;
  }

  #showLabels(labels) {
    if (labels.length < 2) return;
    const likely = [...labels].sort((a, b) => b.probability - a.probability).slice(0, MAX_LABELS);
    const parts = likely.map(({ label, probability }) => `${label} ${percent(probability)}`);
    write("score-labels", `Label of such an item: ${parts.join(", ")}.`);
  }
}
