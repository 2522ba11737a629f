// The view See: the embedding, the bigrams, and where the model comes from.

import { bigramTable, collectBigrams, distributionAfter } from "./bigrams.js";
import { HeatMap } from "./drawing/heatmap.js";
import { Scatter } from "./drawing/scatter.js";
import { inTwoDimensions } from "./drawing/components.js";
import { byId, element, percent, whole } from "./elements.js";
import { showFacts } from "./facts.js";
import { Job } from "./slices.js";

const MAX_POINTS = 1000;
const NUM_NEAREST = 5;
const REDRAW_MS = 300;

export class SeeView {
  #job = new Job();
  #rows = new Map();
  #isComplete = false;
  #heatMap = new HeatMap(byId("bigrams"));

  constructor(model, page) {
    this.model = model;
    this.page = page;
    showFacts(model.facts);
    const { texts } = model.names;
    const options = texts.map((_, id) => element("option", { value: String(id), textContent: model.names.text(id, "start") }));
    byId("see-token").append(...options);
    byId("see-token").onchange = (event) => page.update({ token: event.target.value });
    this.#onPick("bigrams", (x, y) => {
      const cell = this.#heatMap.pick(x, y);
      return cell && this.table.ids[cell.row];
    });
    byId("see-embedding").hidden = !model.network.embedding;
    if (model.network.embedding) this.#prepareEmbedding(model.network.embedding);
    new ResizeObserver(() => page.state.tab === "see" && this.#draw()).observe(byId("see"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.state.tab === "see" && this.#draw());
  }

  /** Show the token of a state in both drawings; the bigrams are collected once. */
  show(state) {
    const id = Number(state.token);
    this.selected = Number.isInteger(id) && id > 0 && id < this.model.names.texts.length ? id : state.token === "0" ? 0 : 1;
    byId("see-token").value = String(this.selected);
    this.#draw();
    if (!this.#isComplete) this.#collect();
  }

  /** End work that nobody waits for. */
  hide() {
    this.#job.stop();
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
    byId("embedding-note").textContent = `Each ${unit} is ${whole(width)} numbers that the network has learned. ` +
      (share === null ? "Both are drawn as they are." : `The drawing shows ${percent(share)} of their variance.`);
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
      byId("embedding-near").replaceChildren("Nearest to ", this.#name(this.selected, "start"), ": ", ...words);
      byId("embedding").ariaLabel = `Map of the ${names.unit}s. ${byId("embedding-near").textContent}`;
    }
    this.#drawBigrams();
  }

  #drawBigrams() {
    const { names } = this.model;
    if (this.#rows.size === 0) return;
    this.table = bigramTable(this.#rows);
    const { ids, rows } = this.table;
    const texts = (edge) => ids.map((id) => names.text(id, edge));
    this.#heatMap.draw(rows, texts("start"), texts("end"), ids.indexOf(this.selected));
    const next = distributionAfter(this.#rows, this.selected);
    const order = next ? [...next.keys()].sort((a, b) => next[b] - next[a]).slice(0, NUM_NEAREST) : [];
    const parts = order.flatMap((id, i) => [i ? ", " : "", this.#name(id, "end"), ` ${percent(next[id])}`]);
    byId("bigrams-next").replaceChildren("After ", this.#name(this.selected, "start"), ": ", ...(next ? parts : ["no item that the model made has it"]));
    byId("bigrams").ariaLabel = `Heat map of pairs. ${byId("bigrams-next").textContent}`;
    const all = names.texts.length;
    byId("bigrams-note").textContent = `Row: the ${names.unit} before. Column: the one after. Deeper means likelier` +
      `, on average over 300 items that the model made.${ids.length < all ? ` The ${ids.length} most frequent of ${whole(all)} are drawn.` : ""}`;
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
