// Functions by the name of what they wait for.

/** A handler that throws must not keep the others from hearing: the error goes where uncaught ones go. */
const report = globalThis.reportError ?? ((error) => setTimeout(() => { throw error; }));

export class Listeners {
  #lists = new Map();

  /** Adds a function; what is returned takes it away again. */
  add(name, fn) {
    if (typeof fn !== "function") throw new TypeError(`on(${JSON.stringify(name)}, ...) takes a function`);
    const entry = { fn };
    this.#lists.set(name, [...(this.#lists.get(name) ?? []), entry]);
    return () => this.#lists.set(name, (this.#lists.get(name) ?? []).filter((other) => other !== entry));
  }

  has(name) {
    return Boolean(this.#lists.get(name)?.length);
  }

  get isEmpty() {
    return [...this.#lists.values()].every((list) => list.length === 0);
  }

  tell(name, ...said) {
    for (const { fn } of this.#lists.get(name) ?? []) {
      try {
        const result = fn(...said);
        if (typeof result?.catch === "function") result.catch(report);
      } catch (error) {
        report(error);
      }
    }
  }

  clear() {
    this.#lists.clear();
  }
}

/** The event and the data of a message: `{event, data}`, or anything else as the data of a "message". */
export function named(data) {
  const shaped = data !== null && typeof data === "object" && !Array.isArray(data) && typeof data.event === "string";
  if (shaped && Object.keys(data).every((key) => key === "event" || key === "data")) return [data.event, data.data];
  return ["message", data];
}

/**
 * Hands a message to the functions of its event, and to those of "*".
 *
 * Names of our own (`join`, `signedout`...) are told by us alone: whoever may publish must not be able to feign them.
 */
export function deliver(listeners, own, where, message) {
  if (own.has(message.event)) console.warn(`jackfield: ${where}: the event name ${JSON.stringify(message.event)} is taken; only "*" hears it`);
  else listeners.tell(message.event, message.data, message);
  listeners.tell("*", message.data, message);
}
