// Somebody who edits a document at random, drops the line now and then, and goes on without it. The same in Node and in a
// browser: what it needs of Yjs is handed over.

/** Numbers that are the same for the same seed. */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// Nothing outside of the basic plane: a pair of surrogates that an edit at random splits becomes U+FFFD in Yjs, on each client by
// itself, and then three clients differ behind y-websocket's own server as well. An editor puts no cursor into a pair.
const WORDS = ["patch ", "cable ", "socket", "é", "ß", "\n", "a", "line of some length "];

export class Player {
  constructor({ Doc, WebsocketProvider }, { url, channel, token, seed, options = {} }) {
    this.random = chance(seed);
    this.doc = new Doc();
    this.text = this.doc.getText("text");
    this.map = this.doc.getMap("map");
    this.done = 0;
    this.drops = 0;
    this.provider = new WebsocketProvider(url, channel, this.doc, { params: { token }, disableBc: true, maxBackoffTime: 500, ...options });
  }

  synced() {
    return this.provider.synced ? Promise.resolve() : new Promise((resolve) => this.provider.on("sync", (is) => is && resolve()));
  }

  /** Makes so many edits, each an update of its own, with the event loop in between. */
  async run(count) {
    let isDropped = 0;
    for (let i = 0; i < count; i++) {
      this.edit();
      this.done++;
      if (isDropped && --isDropped === 0) this.provider.connect();
      else if (!isDropped && this.random() < 0.004) {
        this.provider.disconnect();
        this.drops++;
        isDropped = 1 + Math.floor(this.random() * 60);
      }
      if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
    this.provider.connect();
  }

  edit() {
    const { random, text } = this;
    const at = Math.floor(random() * (text.length + 1));
    const kind = random();
    if (kind < 0.62) text.insert(at, WORDS[Math.floor(random() * WORDS.length)]);
    else if (kind < 0.9) text.delete(Math.min(at, text.length), Math.min(1 + Math.floor(random() * 8), text.length - Math.min(at, text.length)));
    else if (kind < 0.96 && text.length > at) text.format(at, Math.min(6, text.length - at), { bold: random() < 0.5 || null });
    else this.map.set(`key${Math.floor(random() * 20)}`, Math.floor(random() * 1e6));
  }

  end() {
    this.provider.destroy();
  }
}

/** What two who have the same document agree on, byte for byte. */
export function written({ Doc, applyUpdate, encodeStateAsUpdate }, doc) {
  // Through a document of its own: how items lie in memory differs by the order in which they came.
  const plain = new Doc();
  applyUpdate(plain, encodeStateAsUpdate(doc));
  const bytes = encodeStateAsUpdate(plain);
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return { update: btoa(text), text: JSON.stringify(doc.getText("text").toDelta()), map: JSON.stringify(Object.entries(doc.getMap("map").toJSON()).sort()) };
}
