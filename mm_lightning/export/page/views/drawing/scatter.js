// Points with their tokens as labels; of labels that would cover others, only a dot is drawn.

import { openCanvas, themeColour } from "../elements.js";

const MARGIN = 24; // CSS pixels
const SCATTER_FONT = "Georgia, serif";
const MAX_LETTERS = 80; // up to here labels are large
const PICK_DISTANCE = 30;
const SMALL_WIDTH = 360;
const DIRECTIONS = [[1, 0], [-1, 0], [0, -1], [0, 1], [0.7, -0.7], [-0.7, -0.7], [0.7, 0.7], [-0.7, 0.7]];

/** Draw a point, joined to the label that stands beside it. */
function drawDot(context, [x, y], box) {
  context.beginPath();
  context.arc(x, y, 1.8, 0, 2 * Math.PI);
  context.fill();
  if (!box) return;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + (box.x - x) * 0.6, y + (box.y - y) * 0.6);
  context.stroke();
}

export class Scatter {
  constructor(canvas, points, texts) {
    this.canvas = canvas;
    this.texts = texts;
    const extent = (axis) => points.map((point) => point[axis]);
    this.low = [0, 1].map((axis) => Math.min(...extent(axis)));
    this.span = [0, 1].map((axis) => Math.max(...extent(axis)) - this.low[axis] || 1);
    this.points = points;
  }

  /** Draw all points, the selected one and its neighbours marked; a selected id without a point is not. */
  draw(selected, neighbours) {
    const { context, width, height } = openCanvas(this.canvas);
    this.places = this.points.map(([x, y]) => [
      MARGIN + (x - this.low[0]) / this.span[0] * (width - 2 * MARGIN),
      height - MARGIN - (y - this.low[1]) / this.span[1] * (height - 2 * MARGIN),
    ]);
    const size = this.points.length <= MAX_LETTERS && width > SMALL_WIDTH ? 17 : 12;
    context.font = `${size}px ${SCATTER_FONT}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const marked = [selected, ...neighbours].filter((id) => id < this.points.length);
    const boxes = this.#layOut(context, size, [...new Set([...marked, ...this.points.keys()])]);
    context.fillStyle = context.strokeStyle = themeColour("soft");
    this.places.forEach((place, id) => boxes.has(id) && boxes.get(id).isAtPoint || drawDot(context, place, boxes.get(id)));
    for (const [id, { x, y, half }] of boxes) {
      if (marked.includes(id)) {
        context.fillStyle = themeColour(id === selected ? "accent" : "accent-soft");
        context.beginPath();
        context.roundRect(x - half - 3, y - size * 0.7, 2 * half + 6, size * 1.4, 5);
        context.fill();
      }
      context.fillStyle = themeColour(id === selected ? "on-accent" : "ink");
      context.fillText(this.texts[id], x, y + 1);
    }
  }

  /** Find room for labels: at their points, or beside them if there are few; a label without room is left out. */
  #layOut(context, size, order) {
    const boxes = new Map();
    const distances = this.points.length <= MAX_LETTERS ? [0, 1.1, 1.8, 2.6] : [0];
    for (const id of order) {
      const half = Math.max(4, context.measureText(this.texts[id]).width / 2);
      const [left, top] = this.places[id];
      const places = distances.flatMap((distance) => DIRECTIONS.slice(0, distance ? undefined : 1).map(([x, y]) => ({
        x: left + x * distance * (size * 0.6 + half), y: top + y * distance * size, half, isAtPoint: distance === 0,
      })));
      const isFree = (box) => [...boxes.values()].every((other) => Math.abs(other.y - box.y) > size
        || Math.abs(other.x - box.x) > other.half + box.half + 2);
      const box = places.find(isFree);
      if (box) boxes.set(id, box);
    }
    return boxes;
  }

  /** Find the token at a place of the canvas, or null. */
  pick(x, y) {
    const distances = this.places.map(([left, top]) => Math.hypot(left - x, top - y));
    const least = Math.min(...distances);
    return least <= PICK_DISTANCE ? distances.indexOf(least) : null;
  }
}
