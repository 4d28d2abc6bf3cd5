// What goes wrong, as an Error with a code.

/** A refusal of the server, of Django, or of the connection. `code` is that of the protocol (docs/protocol.md). */
export class JackfieldError extends Error {
  constructor(code, message, temporary = false) {
    super(message);
    this.name = "JackfieldError";
    this.code = code;
    this.temporary = temporary;
  }
}

/** Whatever the SDK rejected with, as a JackfieldError. */
export function asError(thrown) {
  if (thrown instanceof JackfieldError) return thrown;
  const code = typeof thrown?.code === "number" ? thrown.code : 0;
  return new JackfieldError(code, thrown?.message || String(thrown), thrown?.temporary ?? code < 100);
}

/** Runs what settles a promise of the SDK, and translates its errors. */
export async function asked(work) {
  try {
    return await work();
  } catch (thrown) {
    throw asError(thrown);
  }
}
