/** The table of series: how each stands, renewed as forecasts come. */

import { element, gain, price, quantile, share, span, time } from "./text.js";

const MOST_SHOWN = 100; // one stream follows so many
const RECENT = 24; // candles for which a drift is marked

export const stale = (row, now) => row.valid_until != null && now > row.valid_until;
const status = (row, { now }) => {
  if (row.paused) return "paused";
  if (!row.status) return "no forecast";
  return stale(row, now) ? "STALE" : row.status.replace("_", " ");
};
const UNITS_MS = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const candle = (row) => parseInt(row.timeframe, 10) * UNITS_MS[row.timeframe.at(-1)];
const scored = (row, horizon) => row.skill.find((one) => one.horizon === horizon);
const says = (row, horizon) => row.forecast && horizon <= row.forecast.median.length;
const median = (row, { horizon }) => (says(row, horizon) ? row.forecast.median[horizon - 1] : null);
const band = (row, { horizon }) =>
  says(row, horizon) ? [0.05, 0.95].map((level) => quantile(row.forecast, level, horizon)) : null;
const freshness = (row, now) => {
  if (row.valid_until == null) return "–";
  return stale(row, now) ? `STALE for ${span(now - row.valid_until)}` : `fresh, ${span(now - row.candle_close_time)} old`;
};

/** Heading, text, what to sort by, and whether it is a cause for alarm. */
const COLUMNS = [
  { name: "Series", value: (row) => row.series },
  {
    name: "Status",
    text: status,
    value: status,
    alarm: (row, { now }) => row.paused || row.status === "fallback" || stale(row, now),
  },
  {
    name: "Freshness",
    text: (row, { now }) => freshness(row, now),
    value: (row) => row.valid_until,
    alarm: (row, { now }) => stale(row, now),
  },
  { name: "Close", text: (row) => price(row.last_close), value: (row) => row.last_close },
  { name: "Median", text: (row, at) => price(median(row, at)), value: median },
  {
    name: "90 % band",
    text: (row, at) => band(row, at)?.map(price).join(" to ") ?? "–",
    value: (row, at) => band(row, at) && band(row, at)[1] / band(row, at)[0],
  },
  {
    name: "Rise",
    text: (row, { horizon }) => share(says(row, horizon) ? row.forecast.prob_up[horizon - 1] : null),
    value: (row, { horizon }) => (says(row, horizon) ? row.forecast.prob_up[horizon - 1] : null),
  },
  {
    name: "Skill",
    text: (row, { horizon }) => gain(scored(row, horizon)?.crps),
    value: (row, { horizon }) => scored(row, horizon)?.crps,
  },
  {
    name: "Coverage",
    text: (row, { horizon }) => share(scored(row, horizon)?.coverage_90, 1),
    value: (row, { horizon }) => scored(row, horizon)?.coverage_90,
  },
  {
    name: "Drift",
    text: (row) => (row.drift ? `${row.drift.count}, last since ${time(row.drift.since)}` : "none"),
    value: (row) => row.drift?.found_at,
    alarm: (row) => row.drift && row.candle_close_time - row.drift.found_at < RECENT * candle(row),
  },
  {
    name: "Champion",
    text: (row) => (row.below_champion_since == null ? "–" : `below it since ${time(row.below_champion_since)}`),
    value: (row) => row.below_champion_since,
    alarm: (row) => row.below_champion_since != null,
  },
];

export class SeriesTable {
  /**
   * @param {HTMLTableElement} table
   * @param {(count: string) => void} tell says how many are shown
   */
  constructor(table, tell) {
    this.body = table.tBodies[0];
    this.tell = tell;
    this.rows = new Map();
    this.lines = new Map();
    this.wanted = "";
    this.horizon = 1;
    this.order = { column: COLUMNS[0], sign: 1 };
    table.tHead.append(element("tr", {}, ...COLUMNS.map((column) => this.#heading(column))));
  }

  #heading(column) {
    const button = element("button", { type: "button" }, column.name);
    const heading = element("th", { scope: "col" }, button);
    button.addEventListener("click", () => {
      const sign = this.order.column === column ? -this.order.sign : 1;
      this.order = { column, sign };
      for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      this.render(this.now);
    });
    return heading;
  }

  /** Take over how all series stand; what is newer by the stream is kept. */
  replace(rows) {
    const before = this.rows;
    this.rows = new Map(rows.map((row) => [row.series, row]));
    for (const [name, row] of this.rows) {
      const forecast = before.get(name)?.forecast;
      // While the stream is away, what is asked for may be newer than it.
      // Where one is said later and the other is of later candles, what was asked for counts.
      if (forecast && row.status && !isBehind(forecast, row)) take(row, forecast);
    }
  }

  /** Take a new forecast of a series. */
  take(forecast) {
    const row = this.rows.get(forecast.series);
    if (row) take(row, forecast);
  }

  /** Names of the series that are shown, in their order. */
  shown() {
    const { column, sign } = this.order;
    const at = { horizon: this.horizon, now: this.now };
    const rank = (row) => column.value(row, at);
    const matches = [...this.rows.values()].filter((row) => row.series.toLowerCase().includes(this.wanted));
    matches.sort((a, b) => sign * compare(rank(a), rank(b)) || compare(a.series, b.series));
    const text = `${matches.length} of ${this.rows.size}`;
    this.tell(matches.length > MOST_SHOWN ? `the first ${MOST_SHOWN} of ${matches.length}: filter for others` : text);
    return matches.slice(0, MOST_SHOWN).map((row) => row.series);
  }

  /** Bring what is seen in line with what is known at a time. */
  render(now) {
    this.now = now;
    const names = this.shown();
    const lines = names.map((name) => this.#line(this.rows.get(name)));
    const [old, ...gone] = [[...this.body.children], ...this.lines.keys()];
    if (old.length !== lines.length || old.some((line, place) => line !== lines[place])) {
      const focused = document.activeElement;
      this.body.replaceChildren(...lines);
      if (this.body.contains(focused)) focused.focus();
    }
    for (const name of gone) if (!names.includes(name)) this.lines.delete(name);
    return names;
  }

  #line(row) {
    const line = this.lines.get(row.series) ?? newLine(row.series);
    this.lines.set(row.series, line);
    const at = { horizon: this.horizon, now: this.now };
    COLUMNS.slice(1).forEach((column, place) => {
      const cell = line.children[place + 1];
      const text = column.text(row, at);
      if (cell.textContent !== text) cell.textContent = text;
      cell.toggleAttribute("data-alarm", Boolean(column.alarm?.(row, at)));
    });
    line.toggleAttribute("data-chosen", row.series === this.chosen);
    const link = line.querySelector("a");
    if (row.series === this.chosen) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    return line;
  }
}

const isBehind = (a, b) => a.issued_at < b.issued_at || a.candle_close_time < b.candle_close_time;

/**
 * A series that begins anew has earlier candles, and is said later; where the server's clock has stepped back, what is said
 * next has later candles.
 */
function take(row, forecast) {
  if (forecast.issued_at < (row.issued_at ?? 0) && forecast.candle_close_time <= row.candle_close_time) return;
  row.forecast = forecast;
  const { status, last_close, candle_close_time, issued_at, valid_until, skill, drift } = forecast;
  Object.assign(row, { status, last_close, candle_close_time, issued_at, valid_until, skill, drift });
}

function newLine(series) {
  const link = element("a", { href: `#${encodeURIComponent(series)}` }, series);
  return element("tr", {}, element("th", { scope: "row" }, link), ...COLUMNS.slice(1).map(() => element("td")));
}

/** What is unknown comes last. */
function compare(a, b) {
  if (a == null || b == null) return (a == null) - (b == null);
  if (typeof a === "string") return a.localeCompare(b);
  return a - b;
}
