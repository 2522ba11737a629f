// The state of the page, and its text in the address, so that a link shows what one saw.

export const DEFAULT_STATE = Object.freeze({
  tab: "make",
  temperature: "1", topK: "", topP: "1", prefix: "", suffix: "", contains: "", minLength: "1", maxLength: "1000",
  seed: "42", label: "", count: "20",
  item: "", itemLabel: "", ended: "", // itemLabel: of an item that was chosen in Make; one that is typed has none
  token: "",
});
export const MAX_ITEMS = 5000; // that are shown
export const TABS = ["make", "step", "score", "see"];
const OPTION_NAMES = ["temperature", "topK", "topP", "prefix", "suffix", "contains", "minLength", "maxLength", "seed"];

/** Read the state from the hash of an address; unknown keys are left out, absent ones have their defaults. */
export function readAddress(hash) {
  const state = { ...DEFAULT_STATE };
  for (const [name, value] of new URLSearchParams(hash.slice(1))) {
    if (Object.hasOwn(DEFAULT_STATE, name)) state[name] = value;
  }
  if (!TABS.includes(state.tab)) state.tab = DEFAULT_STATE.tab;
  if (!(Number(state.count) >= 1 && Number(state.count) <= MAX_ITEMS)) state.count = DEFAULT_STATE.count;
  return state;
}

/** Write the hash of a state: the tab, and all that differs from the defaults. */
export function addressOf(state) {
  const changed = Object.entries(state).filter(([name, value]) => name === "tab" || value !== DEFAULT_STATE[name]);
  return `#${new URLSearchParams(changed)}`;
}

/** Label by which Score and Step read the item of a state; empty for the labels as in training. */
export function labelOfItem(state) {
  return state.itemLabel || state.label;
}

/** Sampling options of a state, as `makeOptions` takes them; an empty field has its default. */
export function optionsOf(state) {
  const options = { numSamples: Number(state.count), label: state.label || null };
  for (const name of OPTION_NAMES) {
    const isText = ["prefix", "suffix", "contains"].includes(name);
    const value = state[name] || (isText ? "" : DEFAULT_STATE[name]);
    options[name] = isText ? value : value === "" ? null : Number(value);
  }
  return options;
}

/** The options that shape one draw for the item of a state, without conditions on the whole item. */
export function drawOptionsOf(state) {
  const { temperature, topK, topP } = optionsOf(state);
  return { temperature, topK, topP, label: labelOfItem(state) || null };
}
