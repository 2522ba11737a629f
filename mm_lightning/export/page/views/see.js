// The view See: the embedding, the bigrams, and where the model comes from.

import { bigramTable, collectBigrams, distributionAfter } from "./bigrams.js";
import { HeatMap } from "./drawing/heatmap.js";
import { Scatter } from "./drawing/scatter.js";
import { inTwoDimensions } from "./drawing/components.js";
import { byId, element, percent, whole, write } from "./elements.js";
import { showFacts } from "./facts.js";
import { Job } from "./slices.js";

const MAX_POINTS = 1000;
const NUM_NEAREST = 5;
const REDRAW_MS = 300;
const MAX_TABLE_TOKENS = 60;
const MIN_CELL_WIDTH = 9; // of the heat map, in CSS pixels

export class SeeView {
  #job = new Job();
  #rows = null; // of the bigrams
  #isComplete = false;
  #isPrepared = false;
  #heatMap = new HeatMap(byId("bigrams"));

  constructor(model, page) {
    this.model = model;
    this.page = page;
    byId("see-token").onchange = (event) => page.update({ token: event.target.value });
    this.#onPick("bigrams", (x, y) => {
      const cell = this.#heatMap.pick(x, y);
      return cell && this.table.ids[cell.row];
    });
    byId("see-embedding").hidden = !model.network.embedding;
  }

  /** Show the token of a state in both drawings; the work for them is done once. */
  show(state) {
    if (!this.#isPrepared) this.#prepare();
    const count = this.model.names.texts.length;
    const id = state.token === "" ? 1 : Number(state.token);
    this.selected = Number.isInteger(id) && id >= 0 && id < count ? id : 1;
    byId("see-token").value = String(this.selected);
    this.#draw();
    if (!this.#rows) this.#collect();
  }

  /** End work that nobody waits for. */
  hide() {
    this.#job.stop();
    if (!this.#isComplete) this.#rows = null;
  }

  #prepare() {
    const { facts, names, network } = this.model;
    this.#isPrepared = true;
    showFacts(facts);
    const option = (_, id) => element("option", { value: String(id), textContent: names.text(id, "start") });
    byId("see-token").append(...names.texts.map(option));
    if (network.embedding) this.#prepareEmbedding(network.embedding);
  }

  #onPick(canvasId, find) {
    byId(canvasId).onclick = (event) => {
      const id = find(event.offsetX, event.offsetY);
      if (id !== null && id !== undefined) this.page.update({ token: String(id) });
    };
  }

  #prepareEmbedding({ rows, width }) {
    const count = Math.min(this.model.names.texts.length, MAX_POINTS);
    this.vectors = Array.from({ length: count }, (_, id) => Array.from(rows.subarray(id * width, (id + 1) * width)));
    const { points, share } = inTwoDimensions(this.vectors);
    const texts = this.vectors.map((_, id) => this.model.names.text(id, "start"));
    this.scatter = new Scatter(byId("embedding"), points, texts);
    const { unit } = this.model.names;
    write("embedding-note", `Each ${unit} is ${whole(width)} numbers that the network has learned. ` +
      (share === null ? "Both are drawn as they are." : `The drawing shows ${percent(share)} of their variance.`));
    this.#onPick("embedding", (x, y) => this.scatter.pick(x, y));
  }

  #nearest() {
    if (!this.vectors || this.selected >= this.vectors.length) return [];
    const own = this.vectors[this.selected];
    const distances = this.vectors.map((row) => Math.hypot(...row.map((value, i) => value - own[i])));
    const order = [...distances.keys()].filter((id) => id !== this.selected);
    return order.sort((a, b) => distances[a] - distances[b]).slice(0, NUM_NEAREST);
  }

  #name(id, edge) {
    return element("bdi", { textContent: this.model.names.text(id, edge) });
  }

  #draw() {
    const { names } = this.model;
    if (this.scatter) {
      const nearest = this.#nearest();
      this.scatter.draw(this.selected, nearest);
      const words = nearest.flatMap((id, i) => [i ? ", " : "", this.#name(id, "start")]);
      const isDrawn = this.selected < this.vectors.length;
      byId("embedding-near").replaceChildren(...(isDrawn
        ? ["Nearest to ", this.#name(this.selected, "start"), ": ", ...words]
        : [this.#name(this.selected, "start"), ` is not among the first ${whole(MAX_POINTS)}, which are drawn.`]));
      byId("embedding").ariaLabel = `Map of the ${names.unit}s. ${byId("embedding-near").textContent}`;
    }
    this.#drawBigrams();
  }

  #drawBigrams() {
    const { names } = this.model;
    if (!this.#rows?.size) return;
    const room = Math.floor(byId("bigrams").clientWidth / MIN_CELL_WIDTH);
    this.table = bigramTable(this.#rows, Math.min(MAX_TABLE_TOKENS, room));
    const { ids, rows } = this.table;
    const texts = (edge) => ids.map((id) => names.text(id, edge));
    this.#heatMap.draw(rows, texts("start"), texts("end"), ids.indexOf(this.selected));
    const next = distributionAfter(this.#rows, this.selected);
    const order = next ? [...next.keys()].sort((a, b) => next[b] - next[a]).slice(0, NUM_NEAREST) : [];
    const parts = order.flatMap((id, i) => [i ? ", " : "", this.#name(id, "end"), ` ${percent(next[id])}`]);
    byId("bigrams-next").replaceChildren("After ", this.#name(this.selected, "start"), ": ", ...(next ? parts : ["no item that the model made has it"]));
    byId("bigrams").ariaLabel = `Heat map of pairs. ${byId("bigrams-next").textContent}`;
    const all = names.texts.length;
    write("bigrams-note", `Row: the ${names.unit} before. Column: the one after. Deeper means likelier` +
      `, on average over 300 items that the model made.${ids.length < all ? ` The ${ids.length} most frequent of ${whole(all)} are drawn.` : ""}`);
  }

  async #collect() {
    this.#rows = new Map();
    let drawn = 0;
    try {
      this.#isComplete = await this.#job.run(collectBigrams(this.model, this.#rows), () => false, (_, isDone) => {
        if (!isDone && performance.now() - drawn < REDRAW_MS) return;
        this.#drawBigrams();
        drawn = performance.now();
      });
    } catch (error) {
      this.page.showError(error);
    }
  }
}
