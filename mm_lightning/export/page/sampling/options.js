// The options of sampling: those of `predict` that the page offers, with the same defaults and ranges.

import { PageError } from "../vocabulary.js";

const MAX_ITEM_LENGTH = 10_000; // tokens

const SAMPLING_DEFAULTS = {
  numSamples: 20,
  temperature: 1,
  topK: null, // sample only from the k most likely tokens
  topP: 1, // sample only from the most likely tokens that together reach this probability
  prefix: "",
  suffix: "",
  contains: "",
  minLength: 1, // tokens; the prefix counts
  maxLength: 1000,
  seed: 42,
  label: null, // a label, or labels with shares, as in "F:0.7,M:0.3"; null: the shares in training
};

const isWholeNumber = (value, low, high) => Number.isInteger(value) && value >= low && value <= high;

const OPTION_RULES = {
  numSamples: [(value) => isWholeNumber(value, 1, 1e12), "The number of items must be a whole number from 1."],
  temperature: [(value) => value >= 0 && value < Infinity, "The temperature must be a number from 0."],
  topK: [(value) => value === null || isWholeNumber(value, 1, 1e12), "Top-k must be empty or a whole number from 1."],
  topP: [(value) => value > 0 && value <= 1, "Top-p must be above 0 and at most 1."],
  minLength: [
    (value) => isWholeNumber(value, 0, MAX_ITEM_LENGTH),
    `The minimum length must be a whole number from 0 to ${MAX_ITEM_LENGTH}.`,
  ],
  maxLength: [
    (value, options) => isWholeNumber(value, Math.max(options.minLength, 1), MAX_ITEM_LENGTH),
    `The maximum length must be a whole number from the minimum length (at least 1) to ${MAX_ITEM_LENGTH}.`,
  ],
  seed: [(value) => isWholeNumber(value, 0, 2 ** 32 - 1), "The seed must be a whole number from 0 to 4294967295."],
};

// Check whether options have conditions on items.
export function hasConditions({ prefix, suffix, contains, minLength, maxLength }) {
  const { minLength: shortest, maxLength: longest } = SAMPLING_DEFAULTS;
  return [prefix, suffix, contains].some((text) => text !== "") || minLength > shortest || maxLength < longest;
}

// Complete options by the defaults and check them; a setting that does not exist is a mistake in the page's own code.
export function makeOptions(partial) {
  const unknown = Object.keys(partial).find((name) => !(name in SAMPLING_DEFAULTS));
  if (unknown !== undefined) throw new Error(`there is no sampling option ${unknown}`);
  const options = { ...SAMPLING_DEFAULTS, ...partial };
  for (const [name, [isValid, rule]] of Object.entries(OPTION_RULES)) {
    const isNumber = options[name] === null || typeof options[name] === "number";
    if (!isNumber || !isValid(options[name], options)) throw new PageError(rule);
  }
  return options;
}
