// Tokens as people read them: invisible characters become visible, and the boundary gets a word.

const RIGHT_TO_LEFT = /[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFC\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}]/u;

/** Text that shows a token: a space and its like are named, a combining mark stands on a dotted circle. */
export function visibleToken(text) {
  if (text === " ") return "␣";
  if (/^[\s\p{Cc}\p{Cf}\uFE0F]$/u.test(text)) return `U+${text.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  return /^\p{M}/u.test(text) ? `◌${text}` : text;
}

/** Make an element that shows a token, set apart from the direction of the text around it. */
export function tokenElement(text, edge) {
  const result = document.createElement(text === null ? "span" : "bdi");
  result.className = text === null ? "edge" : "token";
  result.textContent = text === null ? edge : visibleToken(text);
  return result;
}

/** Direction in which a text runs. */
export function directionOf(text) {
  return RIGHT_TO_LEFT.test(text) ? "rtl" : "ltr";
}

/** Names of the tokens of a vocabulary: letters, or words; by id, the boundary as null. */
export class TokenNames {
  constructor(vocabulary, description) {
    this.texts = Array.from({ length: vocabulary.size }, (_, id) => (id === 0 ? null : vocabulary.token(id)));
    const isLetters = this.texts.slice(1).every((text) => /^[\p{L}\p{M}\p{P}\s]$/u.test(text));
    this.unit = description.kind === "words" ? "word" : isLetters ? "letter" : "character";
    this.direction = directionOf(this.texts.slice(1, 200).join(""));
  }

  /** Plain text of an id, the boundary as `edge`, for canvases and sentences. */
  text(id, edge) {
    return id === 0 ? edge : visibleToken(this.texts[id]);
  }
}
