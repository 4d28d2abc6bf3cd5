// Starts the real server on free loopback ports, signs tokens, and answers calls over the embedded queue.

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const BINARY = process.env.JACKFIELD_BIN ?? path.join(HERE, "../../target/release/jackfield");
const MODULES = process.env.JACKFIELD_NODE_MODULES ?? path.join(HERE, "node_modules");
export const SECRET = "a-secret-of-at-least-32-bytes-for-tests";
const PATIENCE = 30_000;

// Packages come from a folder of the caller's choice.
export const need = createRequire(path.join(path.resolve(MODULES), "..", "here.js"));
export const module = (file) => path.join(path.resolve(MODULES), file);

export const CONFIG = `
[client.token]
hmac_secret_key = "${SECRET}"

[client]
expired_close_delay = "10s"

[[channel.namespaces]]
name = "open"
presence = true
join_leave = true
force_push_join_leave = true
history_size = 100
history_ttl = "5m"
allow_subscribe_for_client = true
allow_publish_for_client = true
allow_presence_for_client = true
allow_history_for_client = true

[[channel.namespaces]]
name = "closed"

[rpc]
without_namespace.proxy_enabled = true

[app_link]
driver = "embedded"
`;

/** The same with every transport, frames compressed where a client can, and channels that are recovered: `kept`, and `brief` that keeps too little. */
export const EVERY_WAY = `${CONFIG}
[websocket]
compression = true

[sse]
enabled = true

[http_stream]
enabled = true

[uni_sse]
enabled = true
${[["kept", 400], ["brief", 5]]
  .map(
    ([name, size]) => `
[[channel.namespaces]]
name = "${name}"
history_size = ${size}
history_ttl = "5m"
force_recovery = true
allow_subscribe_for_client = true
allow_publish_for_client = true
`,
  )
  .join("")}`;

const base64 = (value) => Buffer.from(value).toString("base64url");

/** A token signed with HS256. */
export function token(sub, claims = {}) {
  const body = `${base64('{"alg":"HS256","typ":"JWT"}')}.${base64(JSON.stringify({ sub, ...claims }))}`;
  return `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`;
}

export const soon = (seconds) => Math.floor(Date.now() / 1000 + seconds);

export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Waits until `condition` gives something true, and gives it back. */
export async function until(condition, what) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`there was no sign of: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** One `jackfield serve`; `stop` and `start` keep its ports. */
export class Server {
  constructor({ config = CONFIG, flags = [], sets = [] } = {}) {
    Object.assign(this, { config, flags, sets });
    this.folder = mkdtempSync(path.join(tmpdir(), "jackfield-sdk-"));
  }

  async start() {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: cargo build --release -p jackfield`);
    this.port ??= await freePort();
    this.internal ??= await freePort();
    this.embedded ??= await freePort();
    const file = path.join(this.folder, "jackfield.toml");
    writeFileSync(file, this.config);
    const sets = [
      "http_server.address=127.0.0.1",
      `http_server.port=${this.port}`,
      `http_server.internal_port=${this.internal}`,
      `embedded.port=${this.embedded}`,
      ...this.sets,
    ].flatMap((pair) => ["--set", pair]);
    const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("JACKFIELD_")));
    const log = openSync(path.join(this.folder, "log"), "a");
    const command = ["serve", "-c", file, "--workers", "2", ...this.flags, ...sets];
    this.process = spawn(BINARY, command, { env, stdio: ["ignore", log, log] });
    this.ended = new Promise((resolve) => this.process.on("exit", resolve));
    await until(async () => {
      if (this.process.exitCode !== null) throw new Error(`the server did not start:\n${this.logged()}`);
      return fetch(`http://127.0.0.1:${this.port}/health`).then((answer) => answer.ok, () => false);
    }, "a healthy server");
    return this;
  }

  logged() {
    return readFileSync(path.join(this.folder, "log"), "utf8");
  }

  /** Ends the server; its exit code. */
  async stop() {
    this.process.kill("SIGTERM");
    return this.ended;
  }

  async end() {
    await this.stop();
    rmSync(this.folder, { recursive: true });
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/connection/websocket`;
  }
}

/** A worker of the application that answers every call with the data of the call: the smallest Redis client there is. */
export class Answerer {
  constructor(port) {
    this.port = port;
  }

  async start() {
    this.socket = net.connect(this.port, "127.0.0.1");
    this.socket.setEncoding("latin1");
    this.buffer = "";
    this.waiting = [];
    this.socket.on("data", (text) => this.read(text));
    await new Promise((resolve, reject) => this.socket.once("connect", resolve).once("error", reject));
    this.socket.on("error", () => {});
    this.streams = Array.from({ length: 8 }, (_, n) => `{jackfield:${n}}:events`);
    for (const stream of this.streams) {
      await this.command("XGROUP", "CREATE", stream, "app", "0", "MKSTREAM").catch((error) => {
        if (!error.message.startsWith("BUSYGROUP")) throw error;
      });
    }
    this.loop = this.work();
    return this;
  }

  /** What is answered to a call. */
  answer({ event, id, data }) {
    if (event === "fail") return { v: 1, id, error: { code: 444, message: "as asked" } };
    return { v: 1, id, result: { data: JSON.parse(data) } };
  }

  async work() {
    const read = ["XREADGROUP", "GROUP", "app", "tests", "COUNT", "100", "BLOCK", "1000", "STREAMS", ...this.streams];
    try {
      for (;;) {
        for (const [stream, entries] of (await this.command(...read, ...this.streams.map(() => ">"))) ?? []) {
          for (const [id, flat] of entries) {
            const event = Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, n) => flat.slice(2 * n, 2 * n + 2)));
            if (event.call) {
              await this.command("RPUSH", event.reply_to, JSON.stringify(this.answer(event)));
            }
            await this.command("XACK", stream, "app", id);
            await this.command("XDEL", stream, id);
          }
        }
      }
    } catch (error) {
      if (!this.ending) throw error;
    }
  }

  command(...words) {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    this.socket.write(`*${words.length}\r\n${parts.join("")}`);
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  read(text) {
    this.buffer += text;
    for (;;) {
      const parsed = parse(this.buffer, 0);
      if (!parsed) return;
      this.buffer = this.buffer.slice(parsed.end);
      const { resolve, reject } = this.waiting.shift();
      if (parsed.value instanceof Error) reject(parsed.value);
      else resolve(parsed.value);
    }
  }

  async stop() {
    this.ending = true;
    this.socket.destroy();
    for (const { reject } of this.waiting.splice(0)) reject(new Error("stopped"));
    await this.loop;
  }
}

// One RESP2 value of bytes as latin1, or nothing while it is not whole.
function parse(text, at) {
  const stop = text.indexOf("\r\n", at);
  if (stop < 0) return undefined;
  const line = text.slice(at + 1, stop);
  let end = stop + 2;
  switch (text[at]) {
    case "+":
      return { value: line, end };
    case "-":
      return { value: new Error(line), end };
    case ":":
      return { value: Number(line), end };
    case "$": {
      const length = Number(line);
      if (length < 0) return { value: null, end };
      if (text.length < end + length + 2) return undefined;
      return { value: Buffer.from(text.slice(end, end + length), "latin1").toString(), end: end + length + 2 };
    }
    case "*": {
      const value = Number(line) < 0 ? null : [];
      for (let n = 0; n < Number(line); n += 1) {
        const item = parse(text, end);
        if (!item) return undefined;
        value.push(item.value);
        end = item.end;
      }
      return { value, end };
    }
    default:
      throw new Error(`no RESP: ${text.slice(at, at + 20)}`);
  }
}
