// The view Make: new items at once, more on a button, each marked new or in the training list.

import { sampleItems } from "../sampling/index.js";
import { hasConditions, makeOptions } from "../sampling/options.js";
import { MAX_ITEMS, optionsOf } from "./address.js";
import { byId, element, percent, whole, write } from "./elements.js";
import { Job } from "./slices.js";

const ITEMS_AT_ONCE = 20;
const MAX_SEED = 2 ** 32 - 1;
const REM_PER_CHARACTER = 0.6; // width of the columns
const MAX_COLUMN_REM = 24;
const EXACT = "Conditions are exact: items have the probabilities that the model gives them among all items that fit.";
const APPROXIMATE =
  "Rare conditions are approximate: all items fit, but their probabilities are near the model's, not the same.";

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
    write("make-seen", this.#seenNote());
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
    write("make-conditions", "");
    this.#report("");
    const options = makeOptions(partial);
    this.hasConditions = hasConditions(options);
    this.iterator = sampleItems(this.model, options);
    this.#shown = wanted;
  }

  async #fill(count) {
    this.#report(`Making items …${this.hasConditions ? " Rare conditions take a while." : ""}`);
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
    const made = items.map((item) => ({ ...item, isSeen: this.model.isSeen(item.text) }));
    this.#items.push(...made);
    if (this.hasConditions && made.length) write("make-conditions", made[0].isExact ? EXACT : APPROXIMATE);
    byId("make-items").append(...made.map((item) => this.#row(item)));
    if (!isDone) return;
    const least = this.model.labels.length ? 9.5 : 7.5; // room for the marks
    const lengths = this.#items.map((item) => item.text.length).sort((a, b) => a - b);
    const width = REM_PER_CHARACTER * lengths[Math.floor(0.8 * (lengths.length - 1))]; // the longest may break
    byId("make-items").style.setProperty("--column", `${Math.min(Math.max(width, least), MAX_COLUMN_REM)}rem`);
    const text = this.#items.map((item) => `${item.text}\n`).join("");
    URL.revokeObjectURL(byId("make-download").href);
    byId("make-download").href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    const numNew = this.#items.filter((item) => item.isSeen === false).length;
    this.#report(`${whole(this.#items.length)} items${this.model.seen ? `, ${whole(numNew)} of them new` : ""}.`);
  }

  #row({ text, label, isSeen }) {
    const link = (tab, properties) => {
      const changes = { tab, item: text, itemLabel: label ?? "", ended: "" };
      return this.page.link(element("a", properties), () => changes);
    };
    const marks = [];
    if (isSeen !== null) {
      marks.push(element("i", { className: isSeen ? "" : "new", textContent: isSeen ? "in the list" : "new" }));
    }
    if (label) marks.push(element("i", { textContent: label, dir: "auto" }));
    return element("li", {},
      element("b", { dir: "auto" }, link("score", { textContent: text, title: "Score this item" })),
      element("span", {}, ...marks, link("step", { textContent: "steps", ariaLabel: `steps: ${text}` })));
  }

  #report(text) {
    write("make-status", text);
    byId("make-copy").disabled = this.#items.length === 0;
    byId("make-more").disabled = this.#items.length === 0 || this.#items.length + ITEMS_AT_ONCE > MAX_ITEMS;
    if (this.#items.length === 0) byId("make-download").removeAttribute("href");
  }

  async #copy() {
    await copyText(this.#items.map((item) => `${item.text}\n`).join(""));
    write("make-status", `Copied ${whole(this.#items.length)} items.`);
  }

  #nextSeed() {
    return String((Number(this.page.state.seed) || 0) % MAX_SEED + 1);
  }

  #seenNote() {
    const { seen } = this.model;
    if (!seen) return "The training list was not at hand when the page was made, so no item is marked as new.";
    return `“New” means: not among the ${whole(seen.numItems)} training items. “New” is always right; ` +
      `a new item is marked “in the list” by mistake in ${percent(seen.errorRate)} of cases.`;
  }
}
