/** The chart: candles, the fan of the forecast ahead, and behind it what was said of the past. */

import { price, quantile, time } from "./text.js";

const BANDS = [
  { level: 0.95, low: 0.025, high: 0.975, opacity: 0.14 },
  { level: 0.8, low: 0.1, high: 0.9, opacity: 0.18 },
  { level: 0.5, low: 0.25, high: 0.75, opacity: 0.24 },
];
const AT_FIRST = 60; // candles of the past that are shown
const ROOM = 1.5; // candles that are free at both ends
const VOLUME_ROOM = 6; // the largest volume takes a sixth of the height

export class Chart {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    this.shown = null; // null: the newest
    place.addEventListener("keydown", (event) => this.#key(event));
  }

  /**
   * Draw a series.
   *
   * @param {{candles: object[], forecast: object, overlay: object}} known
   */
  async draw(known) {
    this.known = known;
    this.step = known.forecast.candle_close_time - known.forecast.candle_open_time;
    const colours = palette(this.place);
    const traces = [
      volume(known.candles, colours),
      ...behind(known, this.step, colours),
      candles(known.candles, colours),
      ...fan(known, this.step, colours),
    ];
    await Plotly.react(this.place, traces, this.#layout(known, colours), {
      displayModeBar: false,
      responsive: true,
      scrollZoom: false,
      doubleClick: false,
    });
    if (this.wired) return;
    this.wired = true;
    this.place.on("plotly_relayout", (change) => this.#moved(change));
  }

  /** Draw once more, in the colours of now. */
  redraw() {
    return this.known && this.draw(this.known);
  }

  /** Show nothing until another series is drawn. */
  forget() {
    this.known = null;
    this.shown = null;
    Plotly.purge(this.place);
    this.wired = false;
  }

  /** Show the newest again. */
  reset() {
    this.shown = null;
    return this.redraw();
  }

  /** Show so many times as much, keeping the last candle where it is, or else the middle. */
  zoom(factor) {
    if (!this.known || !factor) return this.reset();
    const [from, to] = this.#range();
    const last = this.known.forecast.candle_open_time;
    const kept = from < last && last < to ? last : (from + to) / 2;
    const by = Math.max(factor, (10 * this.step) / (to - from));
    return this.#show(kept - by * (kept - from), kept + by * (to - kept));
  }

  /** Move by a share of what is shown. */
  pan(part) {
    if (!this.known) return undefined;
    const [from, to] = this.#range();
    const by = part * (to - from);
    return this.#show(from + by, to + by);
  }

  #show(from, to) {
    const [first, last] = this.#limits();
    const width = Math.min(to - from, last - first);
    const start = Math.min(Math.max(from, first), last - width);
    this.shown = [start, start + width];
    return this.redraw();
  }

  /** Open times of the first candle and of the last that is forecast, with room. */
  #limits() {
    const { candles, forecast } = this.known;
    return [candles[0].open_time - ROOM * this.step, forecast.target_times.at(-1) + (ROOM - 1) * this.step];
  }

  #range() {
    const [first, last] = this.#limits();
    return this.shown ?? [Math.max(first, this.known.forecast.candle_open_time - AT_FIRST * this.step), last];
  }

  #moved(change) {
    const from = change["xaxis.range[0]"];
    const to = change["xaxis.range[1]"];
    if (from !== undefined) this.#show(moment(from), moment(to));
  }

  #key(event) {
    const actions = {
      ArrowLeft: () => this.pan(-0.25),
      ArrowRight: () => this.pan(0.25),
      "+": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      End: () => this.reset(),
    };
    const act = !event.ctrlKey && !event.metaKey && !event.altKey && actions[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #layout(known, colours) {
    const range = this.#range();
    return {
      margin: { l: 10, r: 64, t: 8, b: 40 },
      paper_bgcolor: colours.ground,
      plot_bgcolor: colours.ground,
      font: { color: colours.ink, family: "system-ui, sans-serif", size: 12 },
      hovermode: "x unified",
      hoverlabel: { bgcolor: colours.raised, bordercolor: colours.line, font: { color: colours.ink } },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "pan", // there a finger scrolls the page
      showlegend: false,
      xaxis: {
        type: "date",
        range: range.map(iso),
        gridcolor: colours.line,
        rangeslider: { visible: false },
        hoverformat: "%Y-%m-%d %H:%M",
      },
      yaxis: {
        range: heights(known, this.step, range),
        gridcolor: colours.line,
        side: "right",
        fixedrange: true,
        automargin: true,
        exponentformat: "none",
        separatethousands: true,
      },
      yaxis2: { overlaying: "y", visible: false, fixedrange: true, range: [0, VOLUME_ROOM * highest(known.candles, range)] },
      shapes: [edge(known.forecast, colours)],
      annotations: BANDS.map((band) => label(known.forecast, this.step, band, colours)),
    };
  }
}

/** One open time as Plotly reads it: UTC. */
function iso(ms) {
  return new Date(ms).toISOString().replace("Z", "");
}

function moment(text) {
  return typeof text === "number" ? text : Date.parse(`${text.replace(" ", "T")}Z`);
}

function palette(place) {
  const probe = place.ownerDocument.createElement("i");
  place.parentElement.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["ground", "raised", "ink", "faint", "line", "accent", "alarm"];
  const colours = Object.fromEntries(names.map((name) => [name, colour(name)]));
  probe.remove();
  return colours;
}

function candles(all, colours) {
  const values = (name) => all.map((one) => one[name]);
  return {
    type: "candlestick",
    name: "candle",
    x: all.map((one) => iso(one.open_time)),
    open: values("open"),
    high: values("high"),
    low: values("low"),
    close: values("close"),
    increasing: { line: { color: colours.ink, width: 1.2 }, fillcolor: colours.ground },
    decreasing: { line: { color: colours.ink, width: 1.2 }, fillcolor: colours.ink },
  };
}

function volume(all, colours) {
  return {
    type: "bar",
    name: "volume",
    x: all.map((one) => iso(one.open_time)),
    y: all.map((one) => one.volume),
    yaxis: "y2",
    marker: { color: colours.line },
    hovertemplate: "volume %{y}<extra></extra>",
  };
}

function highest(all, [from, to]) {
  const seen = all.filter((one) => one.open_time >= from && one.open_time <= to).map((one) => one.volume);
  return Math.max(...seen, 0) || 1;
}

/** Bands and the median, from the last close on; x is the open time of each candle. */
function fan({ forecast }, step, colours) {
  const x = [forecast.candle_close_time, ...forecast.target_times].map((close) => iso(close - step));
  const horizons = forecast.target_times.map((_, place) => place + 1);
  const edgeOf = (level) => [forecast.last_close, ...horizons.map((horizon) => quantile(forecast, level, horizon))];
  const bands = BANDS.map(({ level, low, high, opacity }) => ({
    type: "scatter",
    mode: "lines",
    name: `${100 * level} %`,
    x: [...x, ...[...x].reverse()],
    y: [...edgeOf(low), ...edgeOf(high).reverse()],
    fill: "toself",
    fillcolor: faded(colours.accent, opacity),
    line: { width: 0.5, color: colours.accent },
    hoverinfo: "skip",
  }));
  const median = {
    type: "scatter",
    mode: "lines",
    name: "forecast",
    x: x.slice(1),
    y: forecast.median,
    line: { color: colours.accent, width: 2 },
    text: horizons.map((horizon) => inWords(forecast, horizon)),
    hovertemplate: "%{text}<extra></extra>",
  };
  return [...bands, median];
}

function inWords(forecast, horizon) {
  const said = BANDS.map(({ level, low, high }) => {
    const [from, to] = [low, high].map((one) => price(quantile(forecast, one, horizon)));
    return `${100 * level} %: ${from} to ${to}`;
  });
  const closes = time(forecast.target_times[horizon - 1]);
  return [`${horizon} ahead, closes at ${closes}: ${price(forecast.median[horizon - 1])}`, ...said].join("<br>");
}

/** What was said so many candles ahead, where its candle then came. */
function behind({ overlay }, step, colours) {
  const [low, high] = [0.05, 0.95].map((level) => overlay.quantile_levels.indexOf(level));
  const steps = overlay.steps.filter((one) => one.close !== null);
  const x = (one) => iso(one.target_time - step);
  const line = { color: colours.accent, width: 1, dash: "dot" };
  const outside = steps.filter((one) => one.inside_90 === false);
  // While a model catches up it says something once in many candles: nothing is drawn between.
  const apart = runs(steps, step);
  const gapped = (values) => apart.flatMap((run) => [...values(run), null]);
  return [
    {
      type: "scatter",
      mode: "lines",
      name: "band",
      x: gapped((run) => [...run, ...[...run].reverse()].map(x)),
      y: gapped((run) => [...run.map((one) => one.quantiles[low]), ...run.map((one) => one.quantiles[high]).reverse()]),
      fill: "toself",
      fillcolor: faded(colours.accent, 0.06),
      line,
      hoverinfo: "skip",
    },
    {
      type: "scatter",
      mode: "lines+markers",
      name: "said",
      x: gapped((run) => run.map(x)),
      y: gapped((run) => run.map((one) => one.median)),
      line: { ...line, width: 1.5 },
      marker: { size: 3 },
      text: gapped((run) => run.map((one) => {
        const band = [low, high].map((place) => price(one.quantiles[place])).join(" to ");
        return `said ${overlay.horizon} ahead: ${price(one.median)}<br>90 %: ${band}`;
      })),
      hovertemplate: "%{text}<extra></extra>",
    },
    {
      type: "scatter",
      mode: "markers",
      name: "outside",
      x: outside.map(x),
      y: outside.map((one) => one.close),
      marker: { symbol: "x-thin", size: 9, line: { width: 2, color: colours.alarm } },
      hovertemplate: "outside the 90 % band<extra></extra>",
    },
  ];
}

/** Split steps where times are missing between them. */
function runs(steps, step) {
  const found = [];
  for (const one of steps) {
    const run = found.at(-1);
    if (run && one.target_time - run.at(-1).target_time <= step) run.push(one);
    else found.push([one]);
  }
  return found;
}

function edge(forecast, colours) {
  const x = iso(forecast.candle_open_time);
  return { type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: colours.faint, width: 1, dash: "dash" } };
}

function label(forecast, step, { level, high }, colours) {
  const last = forecast.target_times.length;
  return {
    x: iso(forecast.target_times[last - 1] - step),
    y: quantile(forecast, high, last),
    text: `${100 * level} %`,
    showarrow: false,
    xanchor: "right",
    yanchor: "bottom",
    font: { color: colours.ink, size: 11 },
  };
}

/** Lowest and highest price of what lies in a range of time, with room. */
function heights({ candles: all, forecast, overlay }, step, [from, to]) {
  const inside = (open) => open >= from && open <= to;
  const seen = all.filter((one) => inside(one.open_time)).flatMap((one) => [one.low, one.high]);
  forecast.target_times.forEach((close, place) => {
    if (inside(close - step)) seen.push(forecast.quantiles[place][0], forecast.quantiles[place].at(-1));
  });
  for (const one of overlay.steps) {
    if (one.close !== null && inside(one.target_time - step)) seen.push(one.quantiles[1], one.quantiles.at(-2));
  }
  if (!seen.length) seen.push(forecast.last_close);
  const [low, high] = [Math.min(...seen), Math.max(...seen)];
  const room = 0.06 * (high - low) || 0.01 * high;
  return [low - room, high + room];
}

function faded(colour, opacity) {
  return colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
}

/** What the chart shows, in one sentence for all who do not see it. */
export function summary(forecast, horizon) {
  const h = Math.min(horizon, forecast.median.length);
  const [low, high] = [0.05, 0.95].map((level) => price(quantile(forecast, level, h)));
  return (
    `Close ${price(forecast.last_close)} at ${time(forecast.candle_close_time)}. ` +
    `${h} ahead, at ${time(forecast.target_times[h - 1])}: median ${price(forecast.median[h - 1])}, ` +
    `90 % between ${low} and ${high}, rise ${(100 * forecast.prob_up[h - 1]).toFixed(0)} %.`
  );
}
