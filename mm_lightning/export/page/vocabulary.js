// The two-way map between tokens and ids, and the errors that a user of the page can cause.

export const BOUNDARY = 0;
const MAX_NAMED_TOKENS = 10; // in an error

// An error that the user of the page can cause and mend; its message is one plain sentence.
export class PageError extends Error {}

export class UnknownTokenError extends PageError {}

// A token is a character (a Unicode code point), or a word in a model of sentences.
export class Vocabulary {
  constructor(description) {
    this.tokens = description.tokens;
    this.size = this.tokens.length;
    this.unsampled = description.unsampled;
    this.hasWords = description.kind === "words";
    this.unknown = description.unknown;
    this.idOf = new Map(this.tokens.map((token, id) => [token, id]));
  }

  split(text) {
    return this.hasWords ? text.split(/\s+/u).filter((word) => word !== "") : Array.from(text);
  }

  // Return the ids of a text, without boundaries.
  encode(text) {
    const tokens = this.split(text);
    const ids = tokens.map((token) => this.idOf.get(token) ?? this.unknown);
    this.refuse(tokens.filter((_, i) => ids[i] === null));
    return ids;
  }

  // Return the ids of a text that every item must have, so a word that is never sampled is an error.
  encodeSampled(text) {
    const ids = this.encode(text);
    this.refuse(this.split(text).filter((_, i) => this.unsampled.includes(ids[i])));
    return ids;
  }

  refuse(tokens) {
    if (tokens.length) {
      const named = [...new Set(tokens)].slice(0, MAX_NAMED_TOKENS).map((token) => `“${token}”`);
      throw new UnknownTokenError(`The training items have no ${named.join(", ")}.`);
    }
  }

  decode(ids) {
    return ids.map((id) => this.token(id)).join(this.hasWords ? " " : "");
  }

  // Return the text of an id; the boundary has none.
  token(id) {
    return this.tokens[id] ?? "";
  }
}
