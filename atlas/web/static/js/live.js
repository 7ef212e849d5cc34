// What changes while it is looked at: a part of a page that is fetched anew, or a stream of events.
import { sortAs, start as tables } from "./tables.js";
import { show, start as times } from "./times.js";

// Server-sent events of `url`; `handlers` by event name get what was sent as JSON. The browser
// reconnects by itself and says with Last-Event-ID what it has. Returns a function that ends it.
export function follow(url, handlers) {
  const source = new EventSource(url);
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => {
      // A connection that broke is an event too, and has nothing to say.
      if (event.data !== undefined) handle(JSON.parse(event.data), event);
    });
  }
  return () => source.close();
}

// Replaces every element that has data-live=NAME by that of the page as it is now.
export async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return false;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  // Before any of it moves into this page.
  const more = fresh.querySelector("[data-refresh]") !== null;
  // What was waited for is there: the page is another one now.
  const waiting = document.querySelector("[data-refresh][data-live]");
  if (waiting && !fresh.querySelector(`[data-live="${waiting.dataset.live}"]`)) {
    location.reload();
    return false;
  }
  document.querySelectorAll("[data-live]").forEach((old) => {
    const now = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
    if (!now || now.outerHTML === old.dataset.was) return;
    const was = now.outerHTML;
    now.dataset.was = was;
    replace(old, now);
  });
  return more;
}

const FOCUSABLE = "a[href], button, input, select, summary, [tabindex]";

// What somebody did to the old part holds for the new one: the order of a table, what was opened,
// where the keyboard is.
function replace(old, now) {
  const at = old.contains(document.activeElement) ? sign(document.activeElement) : null;
  old.querySelectorAll("details[id][open]").forEach((each) => {
    const same = now.querySelector(`#${each.id}`);
    if (same) same.open = true;
  });
  old.replaceWith(now);
  times(now);
  tables(now);
  sortAs(old, now);
  if (at === null) return;
  const same = [...now.querySelectorAll(FOCUSABLE)].find((each) => sign(each) === at);
  if (same) same.focus({ preventScroll: true });
}

function sign(element) {
  const words = element.getAttribute("aria-label") ?? element.textContent;
  return [element.tagName, element.getAttribute("href"), words.trim()].join(" ");
}

// data-refresh="3": while the page says so, its live parts are fetched every so many seconds.
function poll(seconds) {
  const again = async () => {
    let more = true;
    try {
      if (!document.hidden) more = await refresh();
    } catch {
      // The next time may do better: the server may be restarting.
    }
    if (more) setTimeout(again, seconds * 1000);
  };
  setTimeout(again, seconds * 1000);
}

// A line of a log, as the server writes it (log.html).
function line(entry) {
  const part = (tag, name, text) => {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = text;
    return made;
  };
  const row = document.createElement("li");
  row.className = `log-line log-${entry.level}`;
  const at = part("time", "log-at", "");
  at.dateTime = entry.at;
  at.title = entry.at;
  at.dataset.time = "clock";
  show(at);
  row.append(at, part("span", "log-level", entry.level));
  row.append(part("span", "log-where", [entry.stage, entry.stream].filter(Boolean).join(" · ")));
  row.append(part("span", "log-text", entry.message));
  return row;
}

// data-events="URL" of a run: its log grows, and its parts are fetched anew when it says that
// something changed, at most once a second.
function watch(url, seconds) {
  const log = document.querySelector("[data-log]");
  let wanted = false;
  let busy = false;
  const look = async () => {
    if (busy) {
      wanted = true;
      return;
    }
    busy = true;
    try {
      await refresh();
    } catch {
      // What comes next brings it.
    }
    setTimeout(() => {
      busy = false;
      if (wanted) {
        wanted = false;
        look();
      }
    }, 1000);
  };
  const stop = follow(url, {
    progress: look,
    log(entry) {
      if (!log) return;
      const low = log.scrollTop + log.clientHeight > log.scrollHeight - 40;
      log.querySelector("[data-log-lines]").append(line(entry));
      if (low) log.scrollTop = log.scrollHeight;
    },
    end() {
      stop();
      wanted = true;
      look();
    },
  });
  // Counts between two events, and the time it takes, go on.
  setInterval(() => {
    if (!document.hidden && document.querySelector("[data-events]")) look();
  }, seconds * 5000);
}

export function start(root) {
  root.querySelectorAll("[data-log]").forEach((log) => {
    log.scrollTop = log.scrollHeight;
  });
  const watched = root.querySelector("[data-events]");
  const marked = root.querySelector("[data-refresh]");
  if (watched) watch(watched.dataset.events, Number(watched.dataset.refresh));
  else if (marked) poll(Number(marked.dataset.refresh));
}
