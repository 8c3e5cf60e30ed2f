/** What the page asks of the HTTP interface that serves it, and what it is sent. */

const SILENT_MS = 45_000; // a comment comes every 15 s
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;

let aheadMs = 0; // the server's clock before this one's

/** An answer that tells of a problem, by RFC 9457. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** The server's time in milliseconds: this machine's clock may be wrong. */
export function now() {
  return Date.now() + aheadMs;
}

export function keepToken(token) {
  sessionStorage.setItem("token", token);
}

export function hasToken() {
  return Boolean(sessionStorage.getItem("token"));
}

function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) query.append(name, one);
  }
  return `${path}?${query}`;
}

async function open(path, parameters, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  const answer = await fetch(address(path, parameters), { ...options, headers });
  const date = Date.parse(answer.headers.get("date"));
  // It says whole seconds: less than that is no difference.
  if (date && Math.abs(date + 500 - Date.now()) > 1_500) aheadMs = date + 500 - Date.now();
  else if (date) aheadMs = 0;
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Problem(answer.status, told.detail ?? answer.statusText);
  }
  return answer;
}

/** Return what one path answers, as JSON; throws `Problem`. */
export async function ask(path, parameters = {}) {
  // What is kept may be valid still and yet not the newest.
  return (await open(path, parameters, { cache: "no-cache" })).json();
}

/**
 * Follow forecasts until it is stopped; after a break it goes on where it was.
 *
 * @param {string[]} series
 * @param {(forecast: object) => void} take
 * @param {(state: "live" | "lost", error?: Error) => void} tell
 * @returns {() => void} stops it
 */
export function follow(series, take, tell) {
  const stopping = new AbortController();
  run(series, take, tell, stopping.signal);
  return () => stopping.abort();
}

async function run(series, take, tell, stopped) {
  let last = null;
  let wait = FIRST_WAIT_MS;
  const seen = (event) => {
    wait = FIRST_WAIT_MS;
    last = event.id;
    take(JSON.parse(event.data));
  };
  while (!stopped.aborted) {
    try {
      await read(series, last, seen, tell, stopped);
    } catch (error) {
      if (stopped.aborted) return;
      tell("lost", error);
      if (error instanceof Problem && error.status === 401) return;
    }
    // Not all who were cut off at the same moment come back at the same moment.
    await pause(wait * (0.5 + Math.random()), stopped);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

/** EventSource cannot send a token, so the stream is read as any answer. */
async function read(series, last, seen, tell, stopped) {
  const silence = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Error("the server is silent")), SILENT_MS);
  };
  heard();
  try {
    const answer = await open("../v1/stream", { series }, {
      headers: last === null ? {} : { "Last-Event-ID": last },
      signal: AbortSignal.any([stopped, silence.signal]),
      cache: "no-store",
    });
    tell("live");
    let text = "";
    for await (const part of parts(answer.body.pipeThrough(new TextDecoderStream()))) {
      heard();
      text += part;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events.map(parsed)) if (event.data) seen(event);
    }
    throw new Error("the server has ended the stream");
  } finally {
    clearTimeout(timer);
  }
}

async function* parts(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function parsed(event) {
  const pairs = event.split("\n").map((line) => line.match(/^(\w+): ?(.*)$/)?.slice(1));
  return Object.fromEntries(pairs.filter(Boolean));
}

function pause(ms, stopped) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
    stopped.addEventListener("abort", resolve, { once: true });
  });
}
