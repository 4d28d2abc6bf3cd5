// Headless Chromium, driven by playwright-core.

import { existsSync } from "node:fs";

import { need } from "./serving.mjs";

const CHROMIUM = process.env.JACKFIELD_CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--no-first-run",
  "--disable-component-update",
  "--disable-sync",
];

/** Why tests in a browser cannot run, or false. */
export const skip = existsSync(CHROMIUM) ? false : `there is no ${CHROMIUM}`;

/** Starts it; `home` is where it looks for authorities that somebody trusts. */
export function chromium({ home } = {}) {
  const env = home ? { ...process.env, HOME: home } : process.env;
  return need("playwright-core").chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS, env });
}
