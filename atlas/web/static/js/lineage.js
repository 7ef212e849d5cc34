// The picture of lineage: larger and smaller, moved by dragging, and what belongs together lit up.
// Without this it is a picture with links, which scrolls.
const LEAST = 0.2;
const MOST = 3;

function adjacency(edges) {
  const up = new Map();
  const down = new Map();
  const add = (map, key, value) => map.set(key, [...(map.get(key) || []), value]);
  for (const edge of edges) {
    add(down, edge.dataset.from, edge);
    add(up, edge.dataset.to, edge);
  }
  return { up, down };
}

// All edges on the ways from `port`, in one direction. A line that meets a box as a whole goes on
// from each of its columns.
function reach(port, map, other, edges) {
  const seen = new Set([port]);
  const waiting = [port];
  const found = new Set();
  while (waiting.length) {
    const here = waiting.pop();
    for (const edge of map.get(here) || []) {
      found.add(edge);
      const next = edge.dataset[other];
      if (!seen.has(next)) {
        seen.add(next);
        waiting.push(next);
      }
    }
  }
  return { seen, found };
}

function light(view, svg) {
  const edges = [...svg.querySelectorAll(".edge")];
  const { up, down } = adjacency(edges);
  const ports = [...svg.querySelectorAll("[data-port]")];
  const off = () => {
    svg.classList.remove("lit-up");
    svg.querySelectorAll(".lit").forEach((each) => each.classList.remove("lit"));
  };
  const on = (start) => {
    off();
    const inside = [start.dataset.port, ...[...start.querySelectorAll("[data-port]")].map((each) => each.dataset.port)];
    const seen = new Set();
    const found = new Set();
    for (const port of inside) {
      for (const [map, other] of [[up, "from"], [down, "to"]]) {
        const way = reach(port, map, other);
        way.seen.forEach((each) => seen.add(each));
        way.found.forEach((each) => found.add(each));
      }
    }
    svg.classList.add("lit-up");
    found.forEach((edge) => edge.classList.add("lit"));
    ports.forEach((port) => {
      if (!seen.has(port.dataset.port)) return;
      port.classList.add("lit");
      const box = port.closest(".node");
      if (box) box.classList.add("lit");
    });
  };
  for (const name of ["pointerover", "focusin"]) {
    svg.addEventListener(name, (event) => {
      const port = event.target.closest("[data-port]");
      if (port) on(port);
      else if (name === "pointerover") off();
    });
  }
  svg.addEventListener("pointerleave", off);
  svg.addEventListener("focusout", off);
}

function zoom(view, svg, buttons) {
  const width = svg.viewBox.baseVal.width;
  const height = svg.viewBox.baseVal.height;
  let scale = 1;
  const to = (wanted, x = view.clientWidth / 2, y = view.clientHeight / 2) => {
    const next = Math.min(MOST, Math.max(LEAST, wanted));
    const left = (view.scrollLeft + x) / scale;
    const top = (view.scrollTop + y) / scale;
    scale = next;
    svg.setAttribute("width", Math.round(width * scale));
    svg.setAttribute("height", Math.round(height * scale));
    view.scrollLeft = left * scale - x;
    view.scrollTop = top * scale - y;
  };
  const fit = () => to(Math.min(1, (view.clientWidth - 2) / width));
  buttons.forEach((button) => {
    button.addEventListener("click", () => {
      if (button.dataset.zoom === "fit") fit();
      else to(scale * (button.dataset.zoom === "in" ? 1.25 : 0.8));
    });
  });
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = view.getBoundingClientRect();
    to(scale * Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  view.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") to(scale * 1.25);
    else if (event.key === "-") to(scale * 0.8);
    else if (event.key === "0") fit();
  });
  if (width > view.clientWidth && view.clientWidth > 600) fit();
}

function drag(view) {
  let from = null;
  view.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0 || event.target.closest("a")) return;
    from = { x: event.clientX + view.scrollLeft, y: event.clientY + view.scrollTop };
    view.setPointerCapture(event.pointerId);
    view.classList.add("dragged");
  });
  view.addEventListener("pointermove", (event) => {
    if (!from) return;
    view.scrollLeft = from.x - event.clientX;
    view.scrollTop = from.y - event.clientY;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    view.addEventListener(name, () => {
      from = null;
      view.classList.remove("dragged");
    });
  }
}

document.querySelectorAll("[data-graph]").forEach((view) => {
  const svg = view.querySelector("svg");
  const tools = view.closest(".graph-card");
  light(view, svg);
  zoom(view, svg, tools.querySelectorAll("[data-zoom]"));
  drag(view);
});
