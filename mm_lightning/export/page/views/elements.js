// Small helpers for the document: find, make and fill elements, and write numbers for people.

/** Find the element with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Write the text of the element with an id. */
export function write(id, text) {
  byId(id).textContent = text;
}

/** Make an element with properties and children; text becomes text nodes, never markup. */
export function element(tag, properties, ...children) {
  const result = Object.assign(document.createElement(tag), properties);
  result.append(...children);
  return result;
}

/** Write a probability: 12.3%, or <0.01%. */
export function percent(probability) {
  const value = 100 * probability;
  if (value > 0 && value < 0.01) return "<0.01%";
  return `${value >= 0.995 || value === 0 ? value.toFixed(1) : value.toFixed(2)}%`;
}

/** Write a whole number with separators. */
export function whole(number) {
  return Math.round(number).toLocaleString("en");
}

/** Write the number of items among which one of a probability e^-nats is expected: 1,200, or 3.1e+21. */
export function itemsPerHit(nats) {
  const count = Math.exp(nats);
  if (count === Infinity) return `1e+${Math.round(nats / Math.LN10)}`; // too large for a number
  if (count < 10) return count.toFixed(1);
  return count < 1e12 ? whole(Number(count.toPrecision(2))) : count.toExponential(1);
}

/** Read a colour of the style sheet, for canvases. */
export function themeColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Size a canvas for its place and the screen's density, clear it, and return its context and size in CSS pixels. */
export function openCanvas(canvas, heightOf = (width) => width) {
  const width = canvas.clientWidth;
  const height = heightOf(width);
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const context = canvas.getContext("2d");
  context.scale(density, density);
  return { context, width, height };
}
