// The hidden units of a network as a grid of cells that light up.

import { openCanvas, themeColour, whole } from "../elements.js";

const MIN_CELL = 12; // CSS pixels
const STRONG = 0.5; // a unit beyond it is called lit

/** Draw one cell per unit: warm above 0, cool below, pale near 0. */
export function drawUnits(canvas, note, hidden, label) {
  const numColumns = Math.max(1, Math.min(hidden.length, 20, Math.floor(canvas.clientWidth / MIN_CELL)));
  const numRows = Math.ceil(hidden.length / numColumns);
  const { context, width } = openCanvas(canvas, (all) => all / numColumns * numRows);
  const side = width / numColumns;
  canvas.style.height = `${side * numRows}px`;
  const colours = { above: themeColour("lit"), below: themeColour("accent"), rest: themeColour("surface") };
  hidden.forEach((value, unit) => {
    const x = unit % numColumns * side;
    const y = Math.floor(unit / numColumns) * side;
    context.globalAlpha = 1;
    context.fillStyle = colours.rest;
    context.fillRect(x + 1, y + 1, side - 2, side - 2);
    context.globalAlpha = Math.min(1, Math.abs(value));
    context.fillStyle = value > 0 ? colours.above : colours.below;
    context.fillRect(x + 1, y + 1, side - 2, side - 2);
  });
  const numAbove = hidden.filter((value) => value > STRONG).length;
  const numBelow = hidden.filter((value) => value < -STRONG).length;
  const counts = `${label ? `Given the label ${label}: ` : ""}${whole(hidden.length)} hidden units, each between −1 and 1: ${whole(numAbove)} are above ${STRONG} (warm), ` +
    `${whole(numBelow)} below −${STRONG} (cool), the others near 0 (pale).`;
  note.textContent = counts;
  canvas.ariaLabel = counts;
}
