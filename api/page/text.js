/** Numbers and times in words; times are UTC. */

const NONE = "–";

/** A price, to seven digits; prices of like size have like places, so that they stand under each other. */
export function price(value) {
  if (value == null) return NONE;
  if (value < 1e-8) return value.toExponential(6);
  const places = Math.max(0, 6 - Math.floor(Math.log10(value)));
  return value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
}

export function share(value, digits = 0) {
  return value == null ? NONE : `${(100 * value).toFixed(digits)} %`;
}

export function gain(value) {
  if (value == null) return NONE;
  const percent = Math.abs(100 * value).toFixed(1);
  if (percent === "0.0") return "0.0 %";
  return `${value < 0 ? "−" : "+"}${percent} %`;
}

export function time(ms) {
  if (ms == null) return NONE;
  const text = new Date(ms).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 16)}`;
}

/** A length of time, in the largest unit that says enough. */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

export function quantile(forecast, level, horizon) {
  return forecast.quantiles[horizon - 1][forecast.quantile_levels.indexOf(level)];
}

/** Make an element: its attributes, and what it holds as text or elements. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
