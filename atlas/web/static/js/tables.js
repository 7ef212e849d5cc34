// Tables that sort by a click on a column's title, and fields that filter their rows.
// Of what is on the page: a list of many pages is sorted and filtered by its own form.
function key(row, index) {
  const cell = row.cells[index];
  if (!cell) return "";
  if (cell.dataset.sort !== undefined) return cell.dataset.sort;
  const time = cell.querySelector("time");
  return time ? time.dateTime : cell.textContent.trim();
}

function compare(a, b) {
  const x = a === "" || a === "–" ? NaN : Number(a.replaceAll(",", ""));
  const y = b === "" || b === "–" ? NaN : Number(b.replaceAll(",", ""));
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  if (!Number.isNaN(x)) return -1;
  if (!Number.isNaN(y)) return 1;
  return a.localeCompare(b, undefined, { numeric: true, sensitivity: "base" });
}

function sort(table, index, down) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [key(row, index), row]);
  rows.sort((a, b) => (down ? compare(b[0], a[0]) : compare(a[0], b[0])));
  body.append(...rows.map((pair) => pair[1]));
  [...table.tHead.rows[0].cells].forEach((cell, at) => {
    if (at === index) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
}

function sortable(table) {
  if (!table.tHead || table.tBodies[0].rows.length < 2) return;
  [...table.tHead.rows[0].cells].forEach((cell, index) => {
    if (cell.hasAttribute("data-nosort") || !cell.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    button.addEventListener("click", () => {
      sort(table, index, cell.getAttribute("aria-sort") === "ascending");
    });
    cell.append(button);
  });
}

// Sorts the tables in `now` as those of the same id in `old` were, in whose place they come.
export function sortAs(old, now) {
  old.querySelectorAll("table[data-sortable]").forEach((table) => {
    const cells = [...table.tHead.rows[0].cells];
    const index = cells.findIndex((cell) => cell.hasAttribute("aria-sort"));
    const same = now.querySelector(`#${table.id}`);
    if (index < 0 || !same) return;
    sort(same, index, cells[index].getAttribute("aria-sort") === "descending");
  });
}

// Of a field to choose from, what is chosen.
function words(row) {
  const texts = [...row.cells].map((cell) => cell.querySelector("select")?.value ?? cell.textContent);
  return texts.join(" ").toLowerCase();
}

function filter(input) {
  const table = document.getElementById(input.dataset.filter);
  const none = document.createElement("p");
  none.className = "muted filter-none";
  none.setAttribute("role", "status");
  table.closest(".table-wrap").after(none);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = words(row);
      row.hidden = !wanted.every((word) => text.includes(word));
      if (!row.hidden) shown += 1;
    }
    none.textContent = shown ? "" : "Nothing on this page has these words.";
  });
}

export function start(root) {
  root.querySelectorAll("table[data-sortable]").forEach(sortable);
  root.querySelectorAll("input[data-filter]").forEach(filter);
}
