// The face of the module: `import { jackfield } from ".../django_jackfield/jackfield.js"`.

import { JackfieldError } from "./errors.js";
import { followFragments } from "./fragments.js";
import { Page } from "./page.js";

const KEY = Symbol.for("django_jackfield");

// A page may load the module by two URLs, one of them with a hash in its name; there is one connection all the same.
function thePage() {
  if (!globalThis[KEY]) {
    const page = new Page();
    Object.defineProperty(globalThis, KEY, { value: page });
    if (typeof document !== "undefined") followFragments(page);
  }
  return globalThis[KEY];
}

export const jackfield = thePage();
export { JackfieldError };
export default jackfield;
