// What the browser tests need: Chromium, users who log in, a network that goes and comes, a TCP client that speaks lines,
// and waiting for conditions.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { chromium } from "playwright-core";

const PATIENCE_MS = Number(process.env.PATIENCE_MS || 20_000); // more of it where many tests share a small machine
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

export const env = (name, otherwise) => process.env[name] || otherwise;

export const DEMOS = dirname(dirname(fileURLToPath(import.meta.url)));
export const PYTHON = env("PYTHON", join(DEMOS, ".venv", "bin", "python"));
const ORIGIN = `http://127.0.0.1:${env("DEMO_PORT", "8000")}`;
export const at = (path) => `${ORIGIN}/${path}`;

const run = async (command, args, options) => (await promisify(execFile)(command, args, options)).stdout.trim();

// Django's command line, and what an expression is worth there.
export const manage = (...words) => run(PYTHON, ["manage.py", ...words], { cwd: DEMOS });
const SHELL = `
import json, sys
for line in sys.stdin:
    imports, expression = json.loads(line)
    scope = {}
    exec(imports, scope)
    print("=>" + json.dumps(eval(expression, scope)), flush=True)
`;
let django = null; // one process for all questions: a start takes longer than an answer
export function shell(imports, expression) {
  django ??= new Answers(spawn(PYTHON, ["manage.py", "shell", "-c", SHELL], { cwd: DEMOS, stdio: ["pipe", "pipe", "inherit"] }));
  return django.ask(JSON.stringify([imports, expression]));
}
class Answers {
  #process;
  #waiting = [];

  constructor(process) {
    this.#process = process;
    createInterface({ input: process.stdout }).on("line", (line) => {
      if (line.startsWith("=>")) this.#waiting.shift().resolve(JSON.parse(line.slice(2)));
    });
    process.on("close", (code) => this.#waiting.forEach(({ reject }) => reject(new Error(`manage.py shell ended with ${code}`))));
  }

  ask(question) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#process.stdin.write(`${question}\n`);
    });
  }

  end() {
    this.#process.stdin.end();
  }
}

// Runs a test with a browser of its own; the profile is empty and goes with it.
export async function withBrowser(test) {
  const profile = await mkdtemp(join(tmpdir(), "jackfield-chromium-"));
  const browser = await chromium.launch({
    executablePath: env("CHROMIUM", "/usr/bin/chromium"),
    headless: true,
    args: [...FLAGS, `--disk-cache-dir=${profile}`],
  });
  try {
    await test(browser);
  } finally {
    await browser.close();
    django?.end();
    await rm(profile, { recursive: true, force: true });
  }
}

// A page whose errors end the test.
export async function quietPage(context, faults) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => faults.push(`${page.url()}: ${error}`));
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(`${page.url()}: ${message.text()} ${message.location().url}`);
  });
  return page;
}

// The page of a user of the demo, at the list of the applications.
export async function logIn(browser, name, faults, size) {
  const context = await browser.newContext({ viewport: size });
  const page = await quietPage(context, faults);
  await page.goto(at("login/"));
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill("jackfield");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Live applications" }).waitFor();
  return page;
}

// Takes the network away from a page, and gives it back: to the session that took it.
const sessions = new WeakMap();
export async function network(page, isThere) {
  if (!sessions.has(page)) sessions.set(page, await page.context().newCDPSession(page));
  const session = sessions.get(page);
  await session.send("Network.emulateNetworkConditions", { offline: !isThere, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await page.waitForFunction((isThere) => navigator.onLine === isThere, isThere);
}

// Fails if a console told of an error that the test did not bring about.
export function noFaults(faults, expected) {
  assert.deepEqual(faults.filter((fault) => !expected.test(fault)), []);
}

export async function screenshot(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

// Resolves when `look` returns something true; it is looked at again after every `again` event.
export async function until(what, look, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`never seen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}


// A TCP socket that reads lines.
export class Lines {
  static async open(port, host = "127.0.0.1") {
    const socket = connect(port, host);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new Lines(socket);
  }

  constructor(socket) {
    this.socket = socket;
    this.lines = [];
    this.waiting = [];
    this.ended = false;
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk) => {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop();
      for (const line of parts) this.heard(line);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.ended = true;
      for (const waiter of this.waiting.splice(0)) waiter.look();
    });
  }

  heard(line) {
    this.lines.push(line);
    for (const waiter of [...this.waiting]) waiter.look();
  }

  write(line) {
    this.socket.write(`${line}\n`);
  }

  send(command) {
    this.write(JSON.stringify(command));
  }

  // The first line, past or to come, that fits.
  line(what, fits) {
    return new Promise((resolve, reject) => {
      const waiter = { look: () => {
        const found = this.lines.find(fits);
        if (found === undefined && !this.ended) return;
        clearTimeout(timer);
        this.waiting = this.waiting.filter((other) => other !== waiter);
        if (found === undefined) reject(new Error(`TCP closed before: ${what}; heard ${this.lines.join(" ")}`));
        else resolve(found);
      } };
      const timer = setTimeout(() => reject(new Error(`TCP never heard: ${what}; heard ${this.lines.join(" ")}`)), PATIENCE_MS);
      this.waiting.push(waiter);
      waiter.look();
    });
  }

  // The first JSON line that fits.
  async json(what, fits) {
    return JSON.parse(await this.line(what, (line) => {
      try { return fits(JSON.parse(line)); } catch { return false; }
    }));
  }

  async reply(id) {
    const reply = await this.json(`a reply to command ${id}`, (said) => said.id === id);
    if (reply.error) throw new Error(`command ${id}: ${JSON.stringify(reply.error)}`);
    return reply;
  }

  close() {
    this.socket.destroy();
  }
}
