// The page: one state, kept in the address; four views that show it.

import { BloomFilter } from "./sampling/bloom.js";
import { PageError, Vocabulary } from "./vocabulary.js";
import { openModel } from "./payload.js";
import { DEFAULT_STATE, TABS, addressOf, labelOfItem, readAddress } from "./views/address.js";
import { MakeView } from "./views/make.js";
import { ScoreView } from "./views/score.js";
import { SeeView } from "./views/see.js";
import { StepView } from "./views/step.js";
import { TokenNames } from "./views/tokens.js";
import { byId, element, whole, write } from "./views/elements.js";

const WIDE = "(min-width: 52rem)";
const TYPING_PAUSE_MS = 120;

/** Open the model that the page carries, with all that the views share. */
function loadModel() {
  const { vocabularyDescription, labels, labelShares, network, facts, seen } = openModel(byId("model").textContent);
  const vocabulary = new Vocabulary(vocabularyDescription);
  const names = new TokenNames(vocabulary, vocabularyDescription);
  const filter = seen && new BloomFilter(seen);
  const spaced = (text) => (vocabulary.hasWords ? vocabulary.split(text).join(" ") : text);
  const isSeen = (text) => filter && filter.has(spaced(text)); // null if the training items are unknown
  return { vocabulary, names, network, labels, labelShares, facts, seen, isSeen };
}

class Page {
  constructor(model) {
    this.model = model;
    this.typed = {}; // settings that are not in the state yet
    this.#showTitle();
    this.#bindSettings();
    const views = { make: MakeView, step: StepView, score: ScoreView, see: SeeView };
    this.views = Object.fromEntries(TABS.map((tab) => [tab, new views[tab](model, this)]));
    for (const link of document.querySelectorAll("nav a")) this.link(link, () => ({ tab: link.dataset.tab }));
    byId("skip").onclick = (event) => {
      event.preventDefault();
      byId("content").focus();
    };
    addEventListener("hashchange", () => this.show());
    addEventListener("resize", () => this.show()); // drawings have a new size, or new colours
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show());
    this.show();
  }

  /** Change parts of the state, write the address and show it; a change of the view can be taken back by "back". */
  update(changes) {
    clearTimeout(this.typing);
    const state = { ...this.state, ...this.typed, ...changes };
    this.typed = {};
    const isOtherTab = state.tab !== this.state.tab;
    history[isOtherTab ? "pushState" : "replaceState"](null, "", addressOf(state));
    this.show();
    if (isOtherTab) byId("content").focus({ preventScroll: true });
  }

  /** Make a link that changes the state; its address can be opened and copied as any other. */
  link(anchor, changes) {
    const refresh = () => { anchor.href = addressOf({ ...readAddress(location.hash), ...changes() }); };
    refresh();
    anchor.onpointerenter = anchor.onfocus = refresh;
    anchor.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.update(changes());
    };
    return anchor;
  }

  /** Show the state that the address holds. */
  show() {
    const before = this.state;
    this.state = readAddress(location.hash);
    const { tab } = this.state;
    if (before && before.tab !== tab) this.views[before.tab].hide?.();
    for (const name of TABS) byId(name).hidden = name !== tab;
    for (const link of document.querySelectorAll("nav a")) {
      link.ariaCurrent = link.dataset.tab === tab ? "page" : null;
    }
    this.#showSettings();
    write("error", "");
    try {
      this.views[tab].show(this.state);
    } catch (error) {
      this.showError(error);
    }
  }

  /** Show what the user can mend as a sentence; a bug keeps its trace in the console. */
  showError(error) {
    write("error", error instanceof PageError ? error.message : `The page has a bug: ${error.message}`);
    if (!(error instanceof PageError)) throw error;
  }

  #showTitle() {
    const { facts, network, names } = this.model;
    document.title = facts.title ? `New ${facts.title}` : "New items";
    write("title", document.title);
    const size = facts.num_lines ? `, a list of ${whole(facts.num_lines)} items` : "";
    const source = facts.data_name ? ` of ${facts.data_name}${size}` : "";
    const sight = network.context === null ? "" : ` It sees ${network.context} ${names.unit}${network.context === 1 ? "" : "s"} at a time.`;
    write("tagline", `Made by a language model${source}.${sight}`);
    for (const place of document.querySelectorAll(".unit")) place.textContent = names.unit;
    for (const place of document.querySelectorAll(".units, .pair small .unit")) place.textContent = `${names.unit}s`;
  }

  #bindSettings() {
    const form = byId("settings");
    const { labels } = this.model;
    byId("label-field").dataset.has = labels.length ? "labels" : "";
    form.label.append(...["", ...labels].map((value) => element("option", { value, textContent: value || "as in training" })));
    form.onsubmit = (event) => event.preventDefault();
    form.oninput = (event) => {
      clearTimeout(this.typing);
      const { name, value } = event.target;
      if (name === "temperature") write("temperature-value", Number(value).toFixed(2));
      this.typed = { ...this.typed, [name]: value, ...(name === "label" ? { itemLabel: "" } : {}) };
      this.typing = setTimeout(() => this.update({ count: DEFAULT_STATE.count }), TYPING_PAUSE_MS);
    };
    byId("reset").onclick = () => {
      const { tab, item, ended, token } = this.state;
      this.update({ ...DEFAULT_STATE, tab, item, ended, token });
    };
    byId("panel").open = matchMedia(WIDE).matches;
    matchMedia(WIDE).addEventListener("change", (event) => { byId("panel").open = event.matches; });
  }

  #showSettings() {
    const form = byId("settings");
    for (const field of form.querySelectorAll("[name]")) {
      const value = field.name === "label" && this.state.tab !== "make" ? labelOfItem(this.state) : this.state[field.name];
      if (field.value !== value && document.activeElement !== field) field.value = value;
    }
    write("temperature-value", Number(this.state.temperature).toFixed(2));
    for (const part of form.querySelectorAll("[data-tabs]")) {
      part.hidden = !part.dataset.tabs.split(" ").includes(this.state.tab) || part.dataset.has === "";
    }
    byId("panel").hidden = !form.querySelector("[data-tabs]:not([hidden])");
  }
}

/** Start the page; a browser or file that cannot show it gets one sentence. */
function startPage() {
  try {
    return new Page(loadModel());
  } catch (error) {
    write("tagline", `This page cannot be shown: ${error.message}`);
    throw error;
  }
}

startPage();
