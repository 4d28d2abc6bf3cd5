// The twelve bytes that pages, bots and the loop speak: see game/frames.py.

export const STEER = 1, FIGURE = 3, SPARK = 4, GONE = 5;
export const HUNTER = 1, SAFE = 2, STUNNED = 4, AWAY = 8, BOT = 16, TAKEN = 32;
const SIZE = 12, FINE = 16, TURN = 256, FULL = 127;

/** What stands in a frame; null if it is none. */
export function read(bytes) {
  if (bytes.length !== SIZE) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, SIZE);
  return {
    kind: view.getUint8(0), id: view.getUint8(1),
    x: view.getUint16(2) / FINE, y: view.getUint16(4) / FINE,
    facing: (view.getUint8(6) / TURN) * 2 * Math.PI, state: view.getUint8(7),
    time: view.getUint16(8), echo: view.getUint16(10),
  };
}

/** Where I want to go, and what my clock says. */
export function steer({ x, y }, now) {
  const view = new DataView(new ArrayBuffer(SIZE));
  view.setUint8(0, STEER);
  view.setInt8(1, Math.round(x * FULL));
  view.setInt8(2, Math.round(y * FULL));
  view.setUint16(3, Math.floor(now) % 65536);
  return new Uint8Array(view.buffer);
}
