// The view Make: new items at once, more on a button, each marked new or in the training list.

import { conditionKind, sampleItems } from "../sampling/index.js";
import { makeOptions } from "../sampling/options.js";
import { optionsOf } from "./address.js";
import { byId, element, percent, whole } from "./elements.js";
import { Job } from "./slices.js";

const ITEMS_AT_ONCE = 20;
const MAX_SEED = 2 ** 32 - 1;
const LONG_ITEM_CHARACTERS = 24;
const CONDITIONS = {
  none: "",
  exact: "Conditions are exact: items have the probabilities that the model gives them among all items that fit.",
  approximate: "Conditions are approximate: all items fit, but their probabilities are near the model's, not the same.",
};

/** Copy text, in browsers too that keep the clipboard from files. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element("textarea", { value: text });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

export class MakeView {
  #job = new Job();
  #items = [];
  #shown = ""; // options of the items in the list

  constructor(model, page) {
    this.model = model;
    this.page = page;
    byId("make-new").onclick = () => page.update({ seed: this.#nextSeed(), count: String(ITEMS_AT_ONCE) });
    byId("make-more").onclick = () => page.update({ count: String(Number(page.state.count) + ITEMS_AT_ONCE) });
    byId("make-copy").onclick = () => this.#copy();
    byId("make-download").download = `${model.facts.title || "items"}.txt`;
    byId("make-seen").textContent = this.#seenNote();
    byId("make-items").dir = model.names.direction;
  }

  /** Show the items of a state; only what is missing is made. */
  show(state) {
    const partial = optionsOf(state);
    const wanted = JSON.stringify({ ...partial, numSamples: 0 });
    if (wanted !== this.#shown || this.#items.length > partial.numSamples) this.#begin(partial, wanted);
    if (this.#items.length < partial.numSamples) this.#fill(partial.numSamples);
  }

  /** End work that nobody waits for. */
  hide() {
    this.#job.stop();
  }

  #begin(partial, wanted) {
    this.#job.stop();
    this.#items = [];
    this.#shown = "";
    byId("make-items").replaceChildren();
    byId("make-conditions").textContent = "";
    this.#report("");
    const options = makeOptions(partial);
    byId("make-conditions").textContent = CONDITIONS[conditionKind(this.model, options)];
    this.iterator = sampleItems(this.model, options);
    this.#shown = wanted;
  }

  async #fill(count) {
    this.#report("Making items …");
    try {
      const isEnough = (taken) => this.#items.length + taken >= count;
      await this.#job.run(this.iterator, isEnough, (items, isDone) => this.#add(items, isDone));
    } catch (error) {
      this.#shown = "";
      this.#report("");
      this.page.showError(error);
    }
  }

  #add(items, isDone) {
    const made = items.map((item) => ({ ...item, isSeen: this.model.seen?.has(item.text) ?? null }));
    this.#items.push(...made);
    byId("make-items").append(...made.map((item) => this.#row(item)));
    if (!isDone) return;
    const isLong = this.#items.some((item) => item.text.length > LONG_ITEM_CHARACTERS);
    byId("make-items").classList.toggle("long", isLong);
    const text = this.#items.map((item) => `${item.text}\n`).join("");
    URL.revokeObjectURL(byId("make-download").href);
    byId("make-download").href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    const numNew = this.#items.filter((item) => item.isSeen === false).length;
    this.#report(`${whole(this.#items.length)} items${this.model.seen ? `, ${whole(numNew)} of them new` : ""}.`);
  }

  #row({ text, label, isSeen }) {
    const link = (tab, words) => {
      const changes = { tab, item: text, ended: "", ...(label ? { label } : {}) };
      return this.page.link(element("a", { ariaLabel: `${words}: ${text}`, textContent: words }), () => changes);
    };
    const marks = [];
    if (isSeen !== null) {
      marks.push(element("i", { className: isSeen ? "" : "new", textContent: isSeen ? "in the list" : "new" }));
    }
    if (label) marks.push(element("i", { textContent: label, dir: "auto" }));
    return element("li", {},
      element("b", { textContent: text, dir: "auto" }),
      element("span", {}, ...marks, link("score", "score"), link("step", "steps")));
  }

  #report(text) {
    byId("make-status").textContent = text;
    for (const id of ["make-more", "make-copy"]) byId(id).disabled = this.#items.length === 0;
    if (this.#items.length === 0) byId("make-download").removeAttribute("href");
  }

  async #copy() {
    await copyText(this.#items.map((item) => `${item.text}\n`).join(""));
    byId("make-status").textContent = `Copied ${whole(this.#items.length)} items.`;
  }

  #nextSeed() {
    return String((Number(this.page.state.seed) || 0) % MAX_SEED + 1);
  }

  #seenNote() {
    const { seen, seenFacts } = this.model;
    if (!seen) return "The training list was not at hand when the page was made, so no item is marked as new.";
    return `“New” means: not among the ${whole(seenFacts.numItems)} training items. “New” is always right; ` +
      `a new item is marked “in the list” by mistake in ${percent(seenFacts.errorRate)} of cases.`;
  }
}
