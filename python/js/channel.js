// A channel as the page sees it: one subscription, however many listen.

import { asked } from "./errors.js";
import { Listeners, deliver, named } from "./listeners.js";
import { subscriptionToken } from "./tokens.js";

const OWN = new Set(["subscribed", "unsubscribed", "recovered", "gap", "join", "leave", "error"]);
const PERMISSION_DENIED = 103;
const UNAUTHORIZED = 1; // the SDK's own: the token view said no

export class Channel {
  #page;
  #name;
  #listeners = new Listeners();
  #subscription = null;
  #wasIn = false;
  #isLeft = false;
  #tokenFirst;
  #needsToken;
  #data;
  #delta;

  constructor(page, name, { token = false, data, delta = false } = {}) {
    this.#page = page;
    this.#name = name;
    this.#data = data;
    this.#delta = delta;
    this.#tokenFirst = token || name.startsWith("$") || (page.config.token_channels ?? []).some((prefix) => name.startsWith(prefix));
    this.#needsToken = this.#tokenFirst;
  }

  get name() {
    return this.#name;
  }

  /** "unsubscribed", "subscribing" or "subscribed". */
  get state() {
    return this.#subscription?.state ?? "unsubscribed";
  }

  /** Whether anybody listens. */
  get isHeard() {
    return !this.#listeners.isEmpty;
  }

  /** Calls `fn(data, message)` for each message with this event. Returns what ends that. */
  on(event, fn) {
    const off = this.#listeners.add(event, fn);
    this.#joined();
    return off;
  }

  /** Sends an event; resolves when the server has it. A handler `@on(event)` in realtime.py takes it. */
  send(event, data) {
    return asked(() => this.#usable().publish({ event, data })).then(() => undefined);
  }

  /** The same, for channels whose publications go straight to the other pages. */
  publish(event, data) {
    return this.send(event, data);
  }

  /** Who is in the channel: a list of `{client, user, info, channelInfo}`. */
  async presence() {
    const { clients } = await asked(() => this.#usable().presence());
    return Object.values(clients).map(member);
  }

  /** What was published: a list of messages, the newest last. `limit` 0 tells the position only. */
  async history({ limit = 100, since, reverse = false } = {}) {
    const answer = await asked(() => this.#usable().history({ limit, since, reverse }));
    const messages = answer.publications.map((publication) => this.#message(publication));
    return Object.assign(messages, { offset: answer.offset, epoch: answer.epoch });
  }

  /** Leaves the channel and forgets who listens. */
  leave() {
    const subscription = this.#subscription;
    this.#subscription = null;
    this.#wasIn = false;
    this.#isLeft = true;
    this.#page.forget(this);
    if (subscription) this.#page.client.removeSubscription(subscription);
    this.#listeners.tell("unsubscribed", { code: 0, reason: "left" });
    this.#listeners.clear();
  }

  #usable() {
    this.#page.usable();
    return this.#joined();
  }

  #joined() {
    const client = this.#page.connected();
    if (this.#isLeft) throw new Error(`jackfield: ${this.#name} was left; ask for channel(${JSON.stringify(this.#name)}) anew`);
    this.#subscription ??= this.#subscribe(client);
    // One that was refused is tried again only when somebody wants it again.
    if (this.#subscription.state === "unsubscribed") this.#subscription.subscribe();
    return this.#subscription;
  }

  #subscribe(client) {
    const options = { joinLeave: true, recoverable: true, data: this.#data };
    if (this.#delta) options.delta = "fossil";
    if (this.#needsToken) options.getToken = () => subscriptionToken(this.#page.config, this.#name);
    const subscription = client.newSubscription(this.#name, options);
    const tell = (event, said) => this.#listeners.tell(event, said);
    subscription.on("publication", (publication) => deliver(this.#listeners, OWN, this.#name, this.#message(publication)));
    subscription.on("subscribed", (said) => this.#subscribed(said));
    subscription.on("unsubscribed", (said) => this.#unsubscribed(subscription, said));
    subscription.on("join", ({ info }) => tell("join", member(info)));
    subscription.on("leave", ({ info }) => tell("leave", member(info)));
    subscription.on("error", ({ type, error }) => tell("error", { type, code: error.code, message: error.message }));
    return subscription;
  }

  #subscribed(said) {
    const cameBack = this.#wasIn;
    this.#wasIn = true;
    this.#listeners.tell("subscribed", { data: said.data, again: cameBack });
    if (!cameBack) return;
    this.#listeners.tell(said.wasRecovering && said.recovered ? "recovered" : "gap", {});
  }

  #unsubscribed(subscription, { code, reason }) {
    if (this.#subscription !== subscription) return;
    if (code === UNAUTHORIZED) [code, reason] = [PERMISSION_DENIED, "permission denied"];
    else if (code === PERMISSION_DENIED && !this.#needsToken) return this.#askForToken(subscription);
    this.#wasIn = false;
    if (code === PERMISSION_DENIED) this.#forgetRefusal(subscription);
    const told = this.#listeners.has("unsubscribed");
    if (!told && code !== 0) console.warn(`jackfield: ${this.#name}: unsubscribed (${code} ${reason})`);
    this.#listeners.tell("unsubscribed", { code, reason });
  }

  /** The server has nobody to ask; where there is no worker Django's token view decides. */
  #askForToken(subscription) {
    this.#needsToken = true;
    this.#subscription = null;
    this.#page.client.removeSubscription(subscription);
    this.#joined();
  }

  /** Who asks again later begins anew: rights may have come meanwhile, in the server or in Django. */
  #forgetRefusal(subscription) {
    this.#needsToken = this.#tokenFirst;
    this.#subscription = null;
    this.#page.client.removeSubscription(subscription);
  }

  #message(publication) {
    const [event, data] = named(publication.data);
    const message = { event, data, channel: this.#name };
    if (publication.info) message.from = member(publication.info);
    if (publication.offset !== undefined) message.offset = publication.offset;
    if (publication.tags) message.tags = publication.tags;
    return message;
  }
}

function member(info) {
  return { client: info.client, user: info.user, info: info.connInfo ?? null, channelInfo: info.chanInfo ?? null };
}
