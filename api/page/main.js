/** The page: a chosen series, and the table of all. */

import { Chart, summary } from "./chart.js";
import * as details from "./details.js";
import { ask, follow, hasToken, keepToken, now, Problem } from "./server.js";
import { SeriesTable, stale } from "./table.js";
import { element, price, time } from "./text.js";

const CANDLES = 500;
const ALERTS = 20;
const ROWS_EVERY_MS = 15_000;
const LEAST_PAUSE_MS = 1_000; // between two pictures of a series that is caught up

const find = (id) => document.getElementById(id);
const table = new SeriesTable(find("series"), (text) => say("count", text));
const chart = new Chart(find("chart"));
let following = { names: "", stop: () => {} };
let drawing = null;
let isDue = false;
let stream = "connecting …";

// The series that is chosen stands in the address, so that it can be kept and sent.
function chosen() {
  try {
    const name = decodeURIComponent(location.hash.slice(1));
    return name.includes(":") ? name : "";
  } catch {
    return ""; // no address that was made here
  }
}

/** Write only what is new: screen readers read out what is written. */
function say(id, text) {
  if (find(id).textContent !== text) find(id).textContent = text;
}

function attempt(work) {
  return work().catch((error) => {
    if (error instanceof Problem && error.status === 401) return login();
    return complain(error.message);
  });
}

function complain(text) {
  say("problem", text);
  find("problem").hidden = !text;
  say("connection", text ? "○ not live" : stream);
}

function login() {
  if (find("login").open) return;
  find("wrong").hidden = !hasToken();
  find("login").showModal();
}

/** Read how all series stand. */
async function load() {
  const [rows, alerts] = await Promise.all([ask("../v1/series"), ask("../v1/alerts", { limit: 1 })]);
  table.replace(rows);
  showAlerts(alerts);
  if (!table.rows.size) stream = "○ no series yet";
  complain("");
  find("empty").hidden = table.rows.size > 0;
  if (table.rows.size && !table.rows.has(chosen())) {
    const first = [...table.rows.values()].find((row) => row.status) ?? [...table.rows.values()][0];
    location.replace(`#${encodeURIComponent(first.series)}`);
  }
  offerHorizons();
  render();
  // The first pictures do not wait for news.
  if (!drawing) draw();
}

function showAlerts({ raised, judged }) {
  find("alerts").hidden = find("raised-link").hidden = !raised.length;
  find("unjudged").hidden = judged;
  say("raised-link", `▲ ${raised.length} ${raised.length === 1 ? "alert" : "alerts"}`);
  const lines = raised.slice(0, ALERTS).map(details.alert);
  if (raised.length > ALERTS) lines.push(element("li", {}, `and ${raised.length - ALERTS} more`));
  if (find("raised").textContent !== lines.map((one) => one.textContent).join("")) find("raised").replaceChildren(...lines);
}

function offerHorizons() {
  const known = new Set([...table.rows.values()].flatMap((row) => row.skill.map((one) => one.horizon)));
  const horizons = [...(known.size ? known : [1])].sort((a, b) => a - b);
  const select = find("horizon");
  if (horizons.join() === [...select.options].map((one) => one.value).join()) return;
  const before = select.value;
  select.replaceChildren(...horizons.map((one) => element("option", { value: one }, String(one))));
  if (horizons.includes(Number(before))) select.value = before;
  table.horizon = Number(select.value);
}

/** Show what is known, and follow what is shown. */
function render() {
  table.chosen = chosen();
  const names = table.render(now());
  const wanted = [...new Set([...names, ...(table.rows.has(table.chosen) ? [table.chosen] : [])])].slice(-100);
  const key = [...wanted].sort().join(); // another order is no other stream
  if (key !== following.names) {
    following.stop();
    const stop = wanted.length ? follow(wanted, take, told) : () => {};
    following = { names: key, stop };
  }
  describe();
}

function take(forecast) {
  table.take(forecast);
  if (forecast.series === chosen()) draw();
}

function told(state, error) {
  const text = state === "live" ? "● live" : `○ connection lost, trying again (${error.message})`;
  if (error instanceof Problem && error.status === 401) login();
  stream = text;
  say("connection", text);
}

function describe() {
  const row = table.rows.get(chosen());
  find("chosen").hidden = !row;
  if (!row?.status) {
    find("details").hidden = true;
    if (chart.known) chart.forget();
  }
  if (!row) {
    document.title = "Candlecast";
    return;
  }
  say("chosen-heading", `${row.symbol}, ${row.timeframe}, ${row.exchange}`);
  offerFrames(row);
  find("late").hidden = !stale(row, now());
  say("late", find("late").hidden ? "" : `This forecast is STALE: a newer one was due at ${time(row.valid_until)}.`);
  say("summary", row.forecast ? summary(row.forecast, table.horizon) : row.status ? "" : "No forecast yet: a model begins with the first candles.");
  document.title = `${row.forecast ? `${price(row.forecast.last_close)} ` : ""}${row.symbol} ${row.timeframe} · Candlecast`;
}

/** Draw the chosen series; what comes meanwhile is drawn next. */
async function draw() {
  isDue = true;
  if (drawing) return;
  drawing = (async () => {
    while (isDue) {
      isDue = false;
      await attempt(picture);
      await new Promise((resolve) => setTimeout(resolve, LEAST_PAUSE_MS));
    }
  })();
  await drawing;
  drawing = null;
}

async function picture() {
  const series = chosen();
  const row = table.rows.get(series);
  if (!row) return;
  const horizon = table.horizon;
  if (!row.status) return;
  const [forecast, candles, overlay, skill, model] = await Promise.all([
    ask("../v1/forecast", { series }),
    ask("../v1/candles", { series, limit: CANDLES }),
    ask("../v1/overlay", { series, horizon }),
    ask("../v1/skill", { series }),
    ask("../v1/model", { series }),
  ]);
  if (series !== chosen() || horizon !== table.horizon) return;
  table.take(forecast);
  find("details").hidden = false;
  await chart.draw({ candles, forecast, overlay });
  details.steps(find("steps"), forecast);
  details.scores(find("scores"), skill);
  find("model").textContent = details.model(forecast, model);
  describe();
}

/** Other timeframes of the same market. */
function offerFrames(row) {
  const market = [...table.rows.values()].filter((one) => one.exchange === row.exchange && one.symbol === row.symbol);
  const links = market.map((one) => {
    const link = element("a", { href: `#${encodeURIComponent(one.series)}` }, one.timeframe);
    if (one === row) link.setAttribute("aria-current", "true");
    return link;
  });
  find("frames").hidden = market.length < 2;
  const key = [row.series, ...market.map((one) => one.series)].join();
  if (find("frames").dataset.key === key) return;
  find("frames").dataset.key = key;
  const hadFocus = find("frames").contains(document.activeElement);
  find("frames").replaceChildren(...links);
  if (hadFocus) find("frames").querySelector("[aria-current]").focus();
}

/** Light, dark, or as the system has it. */
function wireTheme() {
  const themes = ["system", "light", "dark"];
  const show = () => {
    const theme = localStorage.getItem("theme") ?? "system";
    document.documentElement.dataset.theme = theme;
    find("theme").textContent = `Colours: ${theme}`;
    chart.redraw();
  };
  find("theme").addEventListener("click", () => {
    const next = (themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length;
    localStorage.setItem("theme", themes[next]);
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.redraw());
  show();
}

function wire() {
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address is that of a series
    find("series").focus();
  });
  find("raised-link").addEventListener("click", (event) => {
    event.preventDefault();
    find("alerts").focus();
  });
  addEventListener("hashchange", () => {
    // Nobody shall take one series for another until it is there.
    find("details").hidden = true;
    chart.forget();
    render();
    draw();
  });
  find("filter").addEventListener("input", ({ target }) => {
    table.wanted = target.value.trim().toLowerCase();
    render();
  });
  find("horizon").addEventListener("change", ({ target }) => {
    table.horizon = Number(target.value);
    render();
    draw();
  });
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => chart.zoom(Number(button.dataset.zoom)));
  }
  for (const button of document.querySelectorAll("[data-pan]")) {
    button.addEventListener("click", () => chart.pan(Number(button.dataset.pan)));
  }
  find("login").addEventListener("close", () => {
    keepToken(find("token").value);
    following.names = "";
    attempt(load);
  });
}

wireTheme();
wire();
attempt(load);
setInterval(() => attempt(load), ROWS_EVERY_MS);
setInterval(render, 1_000);
