// Facts about the model: what was trained on what, how well, and when.

import { byId, element, whole } from "./elements.js";

const SPLITS = {
  lecture: "80/10/10, as the lectures have it",
  unique: "80/10/10, repeated items removed first",
  all: "all items are training items",
};

/** Show the facts; one that is unknown is left out. */
export function showFacts(facts) {
  const rows = [
    ["Network", facts.network && `${facts.network}, ${whole(facts.num_parameters ?? 0)} numbers`],
    ["Data", facts.data_name && facts.data_name + (facts.num_lines ? `, ${whole(facts.num_lines)} items` : "")],
    ["Split", facts.split && (SPLITS[facts.split] ?? facts.split)],
    ["Loss", facts.split === "all" && "of the training items: it says little, as no item was held out"],
    ["Training", facts.steps ? `${whole(facts.steps)} steps, seed ${facts.seed}` : facts.network && "counted in one pass"],
    ["Exported", facts.date],
    ["Command", facts.command && element("code", { textContent: facts.command })],
    ["Settings", facts.config && element("details", {},
      element("summary", { textContent: "config.yaml" }), element("pre", { textContent: facts.config }))],
    ["Notes", (facts.notes ?? []).join("\n")],
    ["Versions", Object.entries(facts.versions ?? {}).map(([name, version]) => `${name} ${version}`).join(", ")],
    ["SHA-256 of the data", facts.data_hash && element("code", { textContent: facts.data_hash })],
  ];
  for (const [name, value] of rows) {
    if (value) byId("facts").append(element("dt", { textContent: name }), element("dd", {}, value));
  }
  const losses = Object.entries(facts.losses ?? {});
  byId("losses").hidden = losses.length === 0;
  const number = (loss) => (loss === null || loss === undefined ? "–" : Number(loss).toFixed(4));
  byId("losses").tBodies[0].append(...losses.map(([name, loss]) => element("tr", {},
    element("th", { scope: "row", textContent: name }),
    ...[number(loss.all), number(loss.unseen), whole(loss.num_items)].map((text) => element("td", { textContent: text })))));
}
