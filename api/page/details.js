/** The chosen series in tables: each step of its forecast, and its scores. */

import { element, gain, price, share, time } from "./text.js";

const COVERAGES = [50, 80, 90, 95];

/** Fill a table with a row of headings and rows whose first cell names them. */
function fill(table, headings, rows) {
  const head = element("tr", {}, ...headings.map((text) => element("th", { scope: "col" }, text)));
  const lines = rows.map(([name, ...cells]) =>
    element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((text) => element("td", {}, text))),
  );
  table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...lines));
}

/** Show every step with its quantiles. */
export function steps(table, forecast) {
  const levels = forecast.quantile_levels.map((level) => `${+(100 * level).toFixed(1)} %`);
  const rows = forecast.target_times.map((close, place) => [
    String(place + 1),
    time(close),
    ...forecast.quantiles[place].map(price),
    share(forecast.prob_up[place]),
  ]);
  fill(table, ["Ahead", "Closes at", ...levels, "Rise"], rows);
}

/** Show the recent scores of each horizon beside what they claim. */
export function scores(table, skill) {
  const recent = Object.entries(skill.horizons ?? {}).map(([horizon, one]) => [horizon, one.recent]);
  const covered = COVERAGES.map((band) => `Inside ${band} %`);
  const other = skill.challenger;
  const challenge = other ? [`${other.model}: CRPS skill`, "its CRPS over ours", "p"] : [];
  fill(
    table,
    ["Ahead", "CRPS skill", "MAE skill", ...covered, "Direction", ...challenge],
    recent.map(([horizon, one]) => [
      horizon,
      gain(one.crps_skill),
      gain(one.mae_skill),
      ...COVERAGES.map((band) => share(one[`coverage_${band}`], 1)),
      share(one.direction_accuracy, 1),
      ...(other ? against(other, horizon) : []),
    ]),
  );
}

/** How a challenger stands at a horizon: by its skill, and by Diebold and Mariano's test. */
function against(other, horizon) {
  const { ratio, p_value: p } = other.contest?.[horizon] ?? {};
  return [gain(other.horizons?.[horizon]?.recent.crps_skill), ratio?.toFixed(3) ?? "–", p?.toPrecision(2) ?? "–"];
}

/** Say which model speaks. */
export function model(forecast, row) {
  const version = row.snapshot ? `version ${row.snapshot.version}` : "no version kept yet";
  const champion = row.champion ? `champion is version ${row.champion.version}` : "no champion yet";
  return `Model ${forecast.model.name}, ${row.learned} candles learned since ${time(row.since)}; ${version}, ${champion}.`;
}

/** Say in a line of a list what is raised. */
export function alert(one) {
  const link = element("a", { href: `#${encodeURIComponent(one.series)}` }, one.series);
  return element("li", {}, link, ` ${one.rule}: at ${time(one.at)}, ${one.text}`);
}
