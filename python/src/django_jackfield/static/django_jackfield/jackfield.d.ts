// The types of jackfield.js.

export interface Member {
  /** Id of the connection. */
  client: string;
  /** Primary key of the user as text; "" for an anonymous one. */
  user: string;
  /** `info` of the connection's token. */
  info: unknown;
  /** `info` of the subscription. */
  channelInfo: unknown;
}

export interface Message<Data = unknown> {
  event: string;
  data: Data;
  channel?: string;
  /** The client that published it; absent if Django did. */
  from?: Member;
  offset?: number;
  tags?: Record<string, string>;
}

export type Handler<Data = any> = (data: Data, message: Message<Data>) => unknown;
/** Ends what began it. */
export type Stop = () => unknown;

export class JackfieldError extends Error {
  readonly code: number;
  readonly temporary: boolean;
}

export interface Channel {
  readonly name: string;
  readonly state: "unsubscribed" | "subscribing" | "subscribed";
  on(event: "join" | "leave", fn: (member: Member) => unknown): Stop;
  on(event: "subscribed", fn: (said: { data?: any; again: boolean }) => unknown): Stop;
  on(event: "recovered" | "gap", fn: (said: object) => unknown): Stop;
  on(event: "unsubscribed", fn: (said: { code: number; reason: string }) => unknown): Stop;
  on(event: "error", fn: (said: { type: string; code: number; message: string }) => unknown): Stop;
  on<Data = any>(event: string, fn: Handler<Data>): Stop;
  send(event: string, data?: unknown): Promise<void>;
  publish(event: string, data?: unknown): Promise<void>;
  presence(): Promise<Member[]>;
  history(options?: {
    limit?: number;
    since?: { offset: number; epoch: string };
    reverse?: boolean;
  }): Promise<Message[] & { offset: number; epoch: string }>;
  leave(): void;
}

export interface Jackfield {
  readonly state: "disconnected" | "connecting" | "connected" | "signedout";
  /** `data` goes along whenever the channel is subscribed to: for the server (`aggregate`), or for Django. With `delta`, what is much like the
   * message before comes as the difference, where the namespace allows it; messages are whole all the same. */
  channel(name: string, options?: { token?: boolean; data?: unknown; delta?: boolean }): Channel;
  on(event: "state", fn: (state: Jackfield["state"], said: object) => unknown): Stop;
  on(event: "connecting" | "disconnected" | "signedout", fn: (said: { code: number; reason: string }) => unknown): Stop;
  on(event: "connected", fn: (said: { client: string; data?: any }) => unknown): Stop;
  on(event: "error", fn: (said: { type: string; code: number; message: string }) => unknown): Stop;
  on<Data = any>(event: string, fn: Handler<Data>): Stop;
  call<Result = any>(method: string, data?: unknown): Promise<Result>;
  answer(method: string, fn: (data: any) => unknown): Stop;
  connect(): void;
  disconnect(): void;
  /** Where no template tag printed the config. */
  configure(config: {
    url: string;
    token_url?: string;
    token?: string | null;
    user?: string | null;
    token_channels?: string[];
    /** No token is fetched: the cookie of the session logs in. */
    auth?: "session";
  }): void;
}

export const jackfield: Jackfield;
export default jackfield;
