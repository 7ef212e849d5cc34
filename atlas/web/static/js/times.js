// <time data-time="minute|second|relative|clock">: written in the viewer's zone. The exact time in UTC
// stays in its title, beside the zone it is shown in.
const minute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const second = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
// Of a line of a log, whose day is that of its run.
const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const WAYS = { minute, second, clock };
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [86400 * 30, "day", 86400]];

function relative(then) {
  const seconds = (then - Date.now()) / 1000;
  for (const [limit, unit, size] of STEPS) {
    if (Math.abs(seconds) < limit) return ago.format(Math.round(seconds / size), unit);
  }
  return minute.format(then);
}

export function show(element) {
  const then = new Date(element.dateTime);
  if (Number.isNaN(then.getTime())) return;
  const how = element.dataset.time;
  const text = how === "relative" ? relative(then) : (WAYS[how] ?? minute).format(then);
  if (element.textContent !== text) element.textContent = text;
  if (!element.dataset.exact) {
    element.dataset.exact = element.title;
    element.title = `${element.title}\n${second.format(then)} ${ZONE}`;
  }
}

export function start(root) {
  const all = () => root.querySelectorAll("time[data-time]").forEach(show);
  all();
  if (root === document) setInterval(() => {
    root.querySelectorAll('time[data-time="relative"]').forEach(show);
  }, 20000);
}
