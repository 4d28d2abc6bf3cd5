// What the page knows of the arena: where everybody was, when; and where they are to be drawn.

import { FIGURE, GONE, SPARK, TAKEN } from "./frames.js";

const KEPT = 12; // places of a figure
const SILENCE_MS = 700; // after that a figure is out of hearing

export class World {
  figures = new Map(); // id -> {id, places: [{time, x, y, facing, state}], opacity}
  sparks = new Map(); // id -> {id, x, y}
  names = new Map(); // id -> {id, name, user}

  /** A frame, with the whole time that it was made at. */
  take(frame, time) {
    const { kind, id, x, y, facing, state } = frame;
    if (kind === GONE) this.figures.delete(id);
    else if (kind === SPARK && state & TAKEN) this.sparks.delete(id);
    else if (kind === SPARK) this.sparks.set(id, { id, x, y });
    else if (kind === FIGURE) {
      if (!this.figures.has(id)) this.figures.set(id, { id, places: [] });
      const { places } = this.figures.get(id);
      if (places.length && time <= places.at(-1).time) return;
      places.push({ time, x, y, facing, state });
      if (places.length > KEPT) places.shift();
    }
  }

  /** What was where one no longer hears: it may be elsewhere, or nowhere. */
  forget(isHeard) {
    for (const [id, spark] of this.sparks) if (!isHeard(spark)) this.sparks.delete(id);
  }

  clear() {
    this.figures.clear();
    this.sparks.clear();
  }

  /** The newest that is known of a figure. */
  newest(id) {
    return this.figures.get(id)?.places.at(-1) ?? null;
  }

  /** All figures as they were at a time: between two places that are known, or at the last one. */
  at(time) {
    const found = [];
    for (const [id, { places }] of this.figures) {
      const silence = time - places.at(-1).time;
      if (silence > SILENCE_MS) this.figures.delete(id);
      else found.push({ id, name: this.names.get(id)?.name ?? "", opacity: silence > 200 ? 0.5 : 1, ...between(places, time) });
    }
    return found;
  }
}

function between(places, time) {
  const next = places.findIndex((place) => place.time >= time);
  if (next < 0) return places.at(-1);
  const to = places[next];
  if (next === 0) return to;
  const from = places[next - 1];
  const part = (time - from.time) / (to.time - from.time);
  const turn = ((to.facing - from.facing + 3 * Math.PI) % (2 * Math.PI)) - Math.PI; // the shorter way round
  return { ...to, x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part, facing: from.facing + turn * part };
}
