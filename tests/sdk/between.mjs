// What stands between a client and the server: a socket that can be cut, and nginx as it comes.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

import { freePort, until } from "./serving.mjs";

// A socket that has said its last word already cannot be reset; Node would never close it, and never end.
const reset = (socket) => (socket.writableEnded ? socket.destroy() : socket.resetAndDestroy());

/** A TCP proxy in front of `target` (a port): `cut` resets every connection, and none gets through until `heal`. */
export class Cutter {
  constructor(target) {
    this.target = target;
    this.pairs = new Set();
    this.open = true;
    this.turnedAway = 0;
  }

  async start() {
    this.server = net.createServer((client) => this.join(client));
    await new Promise((resolve, reject) => this.server.on("error", reject).listen(0, "127.0.0.1", resolve));
    this.port = this.server.address().port;
    return this;
  }

  join(client) {
    client.on("error", () => {});
    if (!this.open) {
      this.turnedAway += 1;
      reset(client);
      return;
    }
    const server = net.connect(this.target, "127.0.0.1");
    const pair = { client, server };
    this.pairs.add(pair);
    server.on("error", () => {});
    for (const [from, to] of [[client, server], [server, client]]) {
      from.setNoDelay(true);
      from.pipe(to);
      from.on("close", () => {
        to.destroy();
        this.pairs.delete(pair);
      });
    }
  }

  /** Resets every connection; the number of those that there were. */
  snap() {
    const count = this.pairs.size;
    for (const { client, server } of this.pairs) {
      reset(client);
      reset(server);
    }
    this.pairs.clear();
    return count;
  }

  cut() {
    this.open = false;
    return this.snap();
  }

  heal() {
    this.open = true;
  }

  async stop() {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export const NGINX = [process.env.JACKFIELD_NGINX, "/usr/sbin/nginx", "/usr/bin/nginx"].find((file) => file && existsSync(file));

/** nginx with its default settings in front of a port; a WebSocket needs the two headers and HTTP/1.1, nothing else does. */
export class Nginx {
  constructor(target) {
    this.target = target;
    this.folder = mkdtempSync(path.join(tmpdir(), "jackfield-nginx-"));
  }

  async start() {
    this.port = await freePort();
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`);
    writeFileSync(
      path.join(this.folder, "nginx.conf"),
      `daemon off;
${process.getuid() === 0 ? "user root root;" : ""}
pid pid;
error_log error.log;
events {}
http {
    access_log off;
    ${paths.join("\n    ")}
    server {
        listen 127.0.0.1:${this.port};
        location / {
            proxy_pass http://127.0.0.1:${this.target};
        }
        location ~ websocket$ {
            proxy_pass http://127.0.0.1:${this.target};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }
    }
}
`,
    );
    this.process = spawn(NGINX, ["-p", this.folder, "-e", "error.log", "-c", "nginx.conf"], { stdio: "ignore" });
    this.ended = new Promise((resolve) => this.process.on("exit", resolve));
    await until(async () => {
      if (this.process.exitCode !== null) throw new Error(`nginx did not start:\n${this.logged()}`);
      return fetch(`http://127.0.0.1:${this.port}/health`).then((answer) => answer.status > 0, () => false);
    }, "nginx");
    return this;
  }

  logged() {
    return readFileSync(path.join(this.folder, "error.log"), "utf8");
  }

  async stop() {
    this.process.kill("SIGTERM");
    await this.ended;
    rmSync(this.folder, { recursive: true });
  }
}
