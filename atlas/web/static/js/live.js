// What changes while it is looked at: a part of a page that is fetched anew, or a stream of events.

// Server-sent events of `url`; `handlers` by event name get what was sent as JSON. The browser
// reconnects by itself and says with Last-Event-ID what it has. Returns a function that ends it.
export function follow(url, handlers) {
  const source = new EventSource(url);
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handle(JSON.parse(event.data), event));
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
  const then = fresh.querySelector("[data-then]");
  if (then) location.assign(then.dataset.then);
  const { start: times } = await import("./times.js");
  document.querySelectorAll("[data-live]").forEach((old) => {
    const now = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
    if (!now || now.outerHTML === old.dataset.was) return;
    const was = now.outerHTML;
    old.replaceWith(now);
    now.dataset.was = was;
    times(now);
  });
  return more;
}

// data-refresh="3": while the page says so, its live parts are fetched every so many seconds.
export function start(root) {
  const marked = root.querySelector("[data-refresh]");
  if (!marked) return;
  const wait = Number(marked.dataset.refresh) * 1000;
  const again = async () => {
    let more = true;
    try {
      if (!document.hidden) more = await refresh();
    } catch {
      // The next time may do better: the server may be restarting.
    }
    if (more) setTimeout(again, wait);
  };
  setTimeout(again, wait);
}
