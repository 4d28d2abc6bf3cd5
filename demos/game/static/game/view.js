// The picture: the arena around the player, and a map on which the areas are lit that the page hears of.

import { AWAY, BOT, HUNTER, SAFE, STUNNED } from "./frames.js";

const ACROSS = 1000; // units along the longer side
const BEYOND = 70; // and so much of what is outside
const TAU = 2 * Math.PI;
const COLOURS = ["floor", "grid", "wall", "spark", "runner", "bot", "hunter", "mine-figure", "label", "heard"];

export class View {
  #canvas;
  #map;
  #page;
  #colours = {};
  #scale = 1;
  #centre;

  constructor(canvas, map, page) {
    [this.#canvas, this.#map, this.#page] = [canvas, map, page];
    this.#centre = { x: page.size / 2, y: page.size / 2 };
    new ResizeObserver(() => this.#fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint());
    this.#paint();
    this.#fit();
  }

  #paint() {
    const style = getComputedStyle(document.documentElement);
    for (const name of COLOURS) this.#colours[name] = style.getPropertyValue(`--${name}`).trim();
  }

  #fit() {
    for (const canvas of [this.#canvas, this.#map]) {
      const { width, height } = canvas.getBoundingClientRect();
      [canvas.width, canvas.height] = [Math.round(width * devicePixelRatio), Math.round(height * devicePixelRatio)];
    }
    this.#scale = Math.max(this.#canvas.width, this.#canvas.height) / ACROSS;
  }

  /** Looks there; at the wall the picture stays and the figure goes on. */
  lookAt({ x, y }) {
    const inside = (at, half) => Math.min(Math.max(at, half - BEYOND), this.#page.size - half + BEYOND);
    this.#centre = { x: inside(x, this.#canvas.width / this.#scale / 2), y: inside(y, this.#canvas.height / this.#scale / 2) };
  }

  /** What is on the screen, in units. */
  get box() {
    const [width, height] = [this.#canvas.width / this.#scale, this.#canvas.height / this.#scale];
    const [left, top] = [this.#centre.x - width / 2, this.#centre.y - height / 2];
    return { left, top, right: left + width, bottom: top + height };
  }

  draw(figures, sparks, mine, finger) {
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = this.#colours.wall;
    pen.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    const { left, top } = this.box;
    pen.setTransform(this.#scale, 0, 0, this.#scale, -left * this.#scale, -top * this.#scale);
    this.#floor(pen);
    for (const spark of sparks) this.#spark(pen, spark);
    for (const figure of figures) this.#figure(pen, figure, figure.id === mine);
    this.#names(pen, figures, mine);
    if (finger) this.#finger(pen, finger);
  }

  #floor(pen) {
    const { size, area } = this.#page;
    pen.fillStyle = this.#colours.floor;
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = this.#colours.grid;
    pen.lineWidth = 1.5;
    pen.beginPath();
    for (let at = area; at < size; at += area) {
      pen.moveTo(at, 0);
      pen.lineTo(at, size);
      pen.moveTo(0, at);
      pen.lineTo(size, at);
    }
    pen.stroke();
  }

  #spark(pen, { x, y }) {
    pen.fillStyle = this.#colours.spark;
    pen.beginPath();
    for (let point = 0; point < 8; point++) {
      const [reach, turn] = [point % 2 ? 4 : 11, (point / 8) * TAU];
      pen.lineTo(x + reach * Math.cos(turn), y + reach * Math.sin(turn));
    }
    pen.fill();
  }

  #figure(pen, { x, y, facing, state, opacity }, isMine) {
    const { radius } = this.#page;
    const kind = state & HUNTER ? "hunter" : isMine ? "mine-figure" : state & BOT ? "bot" : "runner";
    pen.globalAlpha = opacity * (state & (AWAY | STUNNED) ? 0.5 : 1);
    pen.fillStyle = this.#colours[kind];
    pen.beginPath();
    if (state & HUNTER) {
      for (let point = 0; point < 20; point++) { // teeth: whoever sees no red sees these
        const [reach, turn] = [point % 2 ? radius : radius + 6, facing + (point / 20) * TAU];
        pen.lineTo(x + reach * Math.cos(turn), y + reach * Math.sin(turn));
      }
    } else pen.arc(x, y, radius, 0, TAU);
    pen.fill();
    pen.fillStyle = this.#colours.floor;
    for (const side of [-0.5, 0.5]) { // eyes look where it goes
      pen.beginPath();
      pen.arc(x + radius * 0.6 * Math.cos(facing + side), y + radius * 0.6 * Math.sin(facing + side), 3.6, 0, TAU);
      pen.fill();
    }
    if (state & SAFE || isMine) {
      pen.strokeStyle = this.#colours[isMine ? "mine-figure" : "label"];
      pen.lineWidth = 3;
      pen.setLineDash(state & SAFE ? [6, 5] : []);
      pen.beginPath();
      pen.arc(x, y, radius + 10, 0, TAU);
      pen.stroke();
      pen.setLineDash([]);
    }
    pen.globalAlpha = 1;
  }

  // In a crowd only who comes first has a name: mine, then people, then bots; two names in one place are none.
  #names(pen, figures, mine) {
    const size = Math.max(15, (12 * devicePixelRatio) / this.#scale);
    const rank = ({ id, state }) => (id === mine ? 0 : state & BOT ? 2 : 1);
    const taken = [];
    pen.textAlign = "center";
    pen.fillStyle = this.#colours.label;
    for (const { id, name, x, y, state, opacity } of [...figures].sort((one, other) => rank(one) - rank(other) || one.id - other.id)) {
      pen.font = `${id === mine ? 700 : 500} ${size}px system-ui, sans-serif`;
      const said = id === mine ? "you" : name;
      const half = pen.measureText(said).width / 2;
      if (taken.some((one) => Math.abs(one.x - x) < one.half + half && Math.abs(one.y - y) < size)) continue;
      taken.push({ x, y, half });
      pen.globalAlpha = opacity * (state & (AWAY | STUNNED) ? 0.5 : 1);
      pen.fillText(said, x, y - this.#page.radius - 15);
    }
    pen.globalAlpha = 1;
  }

  #finger(pen, { from, to }) {
    const { left, top } = this.#canvas.getBoundingClientRect();
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, -left * devicePixelRatio, -top * devicePixelRatio);
    pen.strokeStyle = pen.fillStyle = this.#colours["mine-figure"];
    pen.globalAlpha = 0.5;
    pen.lineWidth = 3;
    pen.beginPath();
    pen.arc(from.clientX, from.clientY, 46, 0, TAU);
    pen.stroke();
    pen.beginPath();
    pen.arc(to.clientX, to.clientY, 18, 0, TAU);
    pen.fill();
    pen.globalAlpha = 1;
  }

  /** The whole arena, small: `isHeard(column, row)` areas are lit. */
  drawMap(figures, isHeard, mine) {
    const pen = this.#map.getContext("2d");
    const { size, area } = this.#page;
    const scale = this.#map.width / size;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.fillStyle = this.#colours.wall;
    pen.fillRect(0, 0, size, size);
    for (let column = 0; column < size / area; column++) {
      for (let row = 0; row < size / area; row++) {
        pen.fillStyle = this.#colours[isHeard(column, row) ? "heard" : "floor"];
        pen.fillRect(column * area + 8, row * area + 8, area - 16, area - 16);
      }
    }
    for (const { id, x, y, state } of figures) {
      pen.fillStyle = this.#colours[state & HUNTER ? "hunter" : id === mine ? "mine-figure" : "bot"];
      pen.beginPath();
      pen.arc(x, y, id === mine ? 60 : 40, 0, TAU);
      pen.fill();
    }
  }
}
