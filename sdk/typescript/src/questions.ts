import createClient, { type Client } from "openapi-fetch";

import type { components, operations, paths } from "./contract.gen.js";
import type { Settings } from "./options.js";
import { platformHeaders, retryAfterMs } from "./transport.js";

type Schemas = components["schemas"];
type Query<Operation extends keyof operations> = NonNullable<operations[Operation]["parameters"]["query"]>;

/** Why the service refused or failed a request (RFC 9457). */
export type Problem = Schemas["Problem"];

/** Thrown when the service answers with a problem, or something on the way with something else. */
export class ProblemError extends Error {
  /** Always `ProblemError`. */
  override readonly name = "ProblemError";
  /** The HTTP status. */
  readonly status: number;
  /** The problem's stable code; `http_` and the status when the answer is no problem. */
  readonly code: string;
  /** The problem as it was sent. */
  readonly problem: Problem | undefined;
  /** How long the server asks to wait, in milliseconds; 0 when it doesn't. */
  readonly retryAfterMs: number;

  /** Made by this package. */
  constructor(response: Response, body: unknown) {
    const problem = typeof body === "object" && body !== null && "code" in body ? (body as Problem) : undefined;
    const violations = (problem?.errors ?? []).map(({ pointer, detail }) => `${pointer} ${detail}`).join(", ");
    super([problem?.title ?? `the answer was ${response.status}`, violations || problem?.detail].filter(Boolean).join(": "));
    this.status = response.status;
    this.code = problem?.code ?? `http_${response.status}`;
    this.problem = problem;
    this.retryAfterMs = retryAfterMs(response.headers.get("Retry-After"));
  }
}

/** How to ask. */
export interface AskOptions {
  /** Gives the question up. */
  signal?: AbortSignal | undefined;
}

/**
 * Everything that can be asked of the service. Parameters and answers are those of the contract. Every method
 * throws a {@link ProblemError} when the service says no, and what `fetch` throws when it can't be asked.
 *
 * Numbers over 2^53-1 lose digits, as they do wherever JavaScript reads JSON.
 */
export class Questions {
  readonly #client: Client<paths>;

  /** Made by {@link Analytics}. */
  constructor(settings: Settings) {
    this.#client = createClient<paths>({
      baseUrl: settings.url,
      fetch: (request: Request) => settings.fetch(request),
      headers: platformHeaders,
      credentials: "omit",
    });
  }

  /** Every event type with its count, the most frequent first: `GET /stats`. */
  eventTypes(query: Query<"listEventTypeStats"> = {}, options: AskOptions = {}): Promise<Schemas["EventTypeStatsPage"]> {
    return answer(this.#client.GET("/stats", { params: { query }, ...given(options) }));
  }

  /** How many events of a type there are, in a range if given: `GET /stats/{event_type}`. */
  stats(eventType: string, query: Query<"getEventTypeStats"> = {}, options: AskOptions = {}): Promise<Schemas["EventTypeStats"]> {
    return answer(this.#client.GET("/stats/{event_type}", { params: { path: { event_type: eventType }, query }, ...given(options) }));
  }

  /** Counts of a type over time: `GET /stats/{event_type}/series`. */
  series(eventType: string, query: Query<"getEventTypeSeries"> = {}, options: AskOptions = {}): Promise<Schemas["EventTypeSeries"]> {
    return answer(this.#client.GET("/stats/{event_type}/series", { params: { path: { event_type: eventType }, query }, ...given(options) }));
  }

  /** Events, users, sums, means and percentiles by any property: `POST /query`. */
  query(body: Schemas["Query"], options: AskOptions = {}): Promise<Schemas["QueryResult"]> {
    return answer(this.#client.POST("/query", { body, ...given(options) }));
  }

  /** How many users go all the way: `POST /query/funnel`. */
  funnel(body: Schemas["Funnel"], options: AskOptions = {}): Promise<Schemas["FunnelResult"]> {
    return answer(this.#client.POST("/query/funnel", { body, ...given(options) }));
  }

  /** How many users come back: `POST /query/retention`. */
  retention(body: Schemas["Retention"], options: AskOptions = {}): Promise<Schemas["RetentionResult"]> {
    return answer(this.#client.POST("/query/retention", { body, ...given(options) }));
  }

  /** A page of the latest events: `GET /events`. */
  events(query: Query<"listEvents"> = {}, options: AskOptions = {}): Promise<Schemas["EventPage"]> {
    return answer(this.#client.GET("/events", { params: { query }, ...given(options) }));
  }

  /** A page of what a user did: `GET /users/{user_id}/events`. */
  userEvents(userId: number | bigint, query: Query<"listUserEvents"> = {}, options: AskOptions = {}): Promise<Schemas["EventPage"]> {
    // A bigint is a number in a path.
    return answer(this.#client.GET("/users/{user_id}/events", { params: { path: { user_id: userId as number }, query }, ...given(options) }));
  }

  /** How much may be sent at once: `GET /limits`. */
  limits(options: AskOptions = {}): Promise<Schemas["Limits"]> {
    return answer(this.#client.GET("/limits", given(options)));
  }

  /**
   * All events that fit, the oldest first, one at a time as they arrive: `GET /events/export`. When the connection breaks it goes
   * on from the last event; it throws when that brings nothing new.
   */
  async *export(query: Omit<Query<"exportEvents">, "format"> = {}, options: AskOptions = {}): AsyncGenerator<Schemas["StoredEvent"], void, undefined> {
    let cursor = query.cursor;
    for (;;) {
      const { response, error } = await this.#client.GET("/events/export", {
        params: { query: { ...query, ...(cursor === undefined ? {} : { cursor }) } },
        parseAs: "stream",
        ...given(options),
      });
      if (!response.ok || response.body === null) throw new ProblemError(response, error);
      const began = cursor;
      try {
        for await (const line of lines(response.body)) {
          const event = JSON.parse(line) as Schemas["StoredEvent"];
          cursor = cursorAfter(event, line);
          yield event;
        }
        return;
      } catch (error) {
        if (cursor === began || options.signal?.aborted) throw error;
      }
    }
  }
}

/** The place after an event, as the contract describes it. A user's id may have more digits than a number. */
function cursorAfter({ timestamp, event_id, user_id }: Schemas["StoredEvent"], line: string): string {
  const user = Number.isSafeInteger(user_id) ? user_id : /^\{"user_id":(\d+),/.exec(line)?.[1];
  return `${timestamp}_${event_id}_${user}`;
}

/** Reads whole lines. A last one without its end is left out: the answer was cut. */
async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = parts.pop()!;
      for (const line of parts) if (line !== "") yield line;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function given({ signal }: AskOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

async function answer<T>(asked: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await asked;
  if (!response.ok || data === undefined) throw new ProblemError(response, error);
  return data;
}
