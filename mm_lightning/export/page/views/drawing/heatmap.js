// A square table of probabilities as a heat map; row: the token before, column: the token after.

import { openCanvas, themeColour } from "../elements.js";

const HEAT_MAP_FONT = "system-ui, sans-serif";

export class HeatMap {
  constructor(canvas) {
    this.canvas = canvas;
  }

  /** Draw rows of probabilities; the row with the selected number is framed. */
  draw(rows, rowTexts, columnTexts, selected) {
    const { context, width } = openCanvas(this.canvas);
    const count = rows.length;
    const size = Math.max(7, Math.min(13, width / (count + 1) * 0.8));
    context.font = `${size}px ${HEAT_MAP_FONT}`;
    const edge = Math.min(width / 4, Math.max(...rowTexts.map((text) => context.measureText(text).width)) + 6);
    const side = (width - edge) / count;
    this.grid = { edge, side, count };
    context.fillStyle = themeColour("ink");
    context.textBaseline = "middle";
    context.textAlign = "right";
    rowTexts.forEach((text, row) => context.fillText(text, edge - 4, edge + (row + 0.5) * side, edge - 4));
    columnTexts.forEach((text, column) => this.#columnLabel(context, text, edge + (column + 0.5) * side, side));
    context.fillStyle = themeColour("accent");
    rows.forEach((row, y) => row.forEach((probability, x) => {
      context.globalAlpha = 0.05 + 0.95 * Math.sqrt(Math.min(1, probability)); // the root shows rare pairs too
      context.fillRect(edge + x * side, edge + y * side, side - 0.5, side - 0.5);
    }));
    context.globalAlpha = 1;
    if (selected < 0) return;
    context.strokeStyle = themeColour("ink");
    context.lineWidth = 2;
    context.strokeRect(edge, edge + selected * side, width - edge - 1, side);
  }

  /** Write the label of a column, upright where it is wider than the column. */
  #columnLabel(context, text, x, side) {
    const { edge } = this.grid;
    context.save();
    context.translate(x, edge - 4);
    if (context.measureText(text).width > side + 2) context.rotate(-Math.PI / 2);
    else {
      context.textAlign = "center";
      context.textBaseline = "bottom";
    }
    if (context.textAlign === "right") context.textAlign = "left";
    context.fillText(text, 0, 0, edge - 4);
    context.restore();
  }

  /** Find the row and column numbers at a place of the canvas, or null. */
  pick(x, y) {
    const [column, row] = [x, y].map((value) => Math.floor((value - this.grid.edge) / this.grid.side));
    return row >= 0 && row < this.grid.count ? { row, column } : null;
  }
}
