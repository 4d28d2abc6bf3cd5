// Where the player wants to go: arrows or WASD, or a finger that is drawn over the arena.

const KEYS = {
  ArrowUp: [0, -1], KeyW: [0, -1], ArrowDown: [0, 1], KeyS: [0, 1],
  ArrowLeft: [-1, 0], KeyA: [-1, 0], ArrowRight: [1, 0], KeyD: [1, 0],
};
const REACH = 60; // pixels from where a finger was put down to full speed
const FIELDS = "input, select, textarea, button, a, summary, dialog";

export class Controls {
  #held = new Set();
  #finger = null; // {id, from, to}
  #changed;

  /** `changed(wish)` hears of each new direction. */
  constructor(canvas, changed) {
    this.#changed = changed;
    addEventListener("keydown", (event) => this.#key(event, true));
    addEventListener("keyup", (event) => this.#key(event, false));
    addEventListener("blur", () => this.rest());
    document.addEventListener("visibilitychange", () => document.hidden && this.rest());
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#finger = { id: event.pointerId, from: event, to: event };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.#finger?.id !== event.pointerId) return;
      this.#finger.to = event;
      changed(this.wish);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => {
        if (this.#finger?.id !== event.pointerId) return;
        this.#finger = null;
        changed(this.wish);
      });
    }
  }

  #key(event, isDown) {
    const isOurs = event.code in KEYS && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (isDown && (!isOurs || event.target.closest?.(FIELDS))) return;
    if (isOurs && isDown) event.preventDefault(); // arrows would scroll the page
    const before = this.#held.size;
    if (isDown) this.#held.add(event.code);
    else this.#held.delete(event.code);
    if (this.#held.size !== before) this.#changed(this.wish);
  }

  rest() {
    this.#held.clear();
    this.#finger = null;
    this.#changed(this.wish);
  }

  /** Where the finger was put down and where it is, for the drawing. */
  get finger() {
    return this.#finger && { from: this.#finger.from, to: this.#finger.to };
  }

  /** A direction, at most 1 long. */
  get wish() {
    let x = 0;
    let y = 0;
    if (this.#finger) {
      const { from, to } = this.#finger;
      [x, y] = [(to.clientX - from.clientX) / REACH, (to.clientY - from.clientY) / REACH];
      if (Math.hypot(x, y) < 0.15) [x, y] = [0, 0];
    }
    for (const code of this.#held) [x, y] = [x + KEYS[code][0], y + KEYS[code][1]];
    const length = Math.hypot(x, y);
    return length > 1 ? { x: x / length, y: y / length } : { x, y };
  }
}
