// Tokens: the first stands in the page, the others come from Django's token view.

import { UnauthorizedError } from "centrifuge";

import { JackfieldError } from "./errors.js";

/** What a token says, unread by anybody but its signer; {} if it is none. */
export function claims(token) {
  try {
    const body = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0))));
  } catch {
    return {};
  }
}

/** Asks the token view. Throws UnauthorizedError, after which the SDK gives up, or an error, after which it comes again. */
export async function fetchToken(config, channel) {
  if (!config.token_url) throw new UnauthorizedError("the token view is not routed");
  const url = new URL(config.token_url, location.href);
  if (channel !== undefined) url.searchParams.set("channel", channel);
  // A login page in the place of the answer is a refusal, too: redirects are not followed.
  const response = await fetch(url, {
    credentials: "same-origin",
    cache: "no-store",
    redirect: "manual",
    headers: { Accept: "application/json" },
  });
  const { status } = response;
  if (response.type === "opaqueredirect" || (status >= 400 && status < 500 && ![408, 425, 429].includes(status))) {
    throw new UnauthorizedError(`${url.pathname}: ${status || "redirected"}`);
  }
  if (!response.ok) throw new JackfieldError(status, `${url.pathname}: status ${status}`, true);
  const { token } = await response.json();
  if (typeof token !== "string") throw new JackfieldError(0, `${url.pathname} answered without a token`, true);
  return token;
}

/** A connection token of the user for whom the page was made. Another user's page is not ours to keep alive. */
export async function connectionToken(config) {
  const token = await fetchToken(config);
  const user = claims(token).sub ?? "";
  config.user ||= user; // a page for caches does not know its user, and a visitor may have logged in
  if (user !== config.user) throw new UnauthorizedError("the user of this page is not logged in any more");
  return token;
}

/** A subscription token; a view that knows none of them is a refusal. */
export async function subscriptionToken(config, channel) {
  const token = await fetchToken(config, channel);
  if (claims(token).channel !== channel) throw new UnauthorizedError(`no token for ${channel}`);
  return token;
}
