// Forms: a question before what cannot be undone, no second press while the first is under way.
export function start(root) {
  root.querySelectorAll("form[data-confirm]").forEach((form) => {
    form.addEventListener("submit", (event) => {
      if (!window.confirm(form.dataset.confirm)) event.preventDefault();
    });
  });
  root.querySelectorAll("select[data-submit]").forEach((select) => {
    select.addEventListener("change", () => select.form.requestSubmit());
  });
  root.querySelectorAll("[data-check-all]").forEach((button) => {
    button.addEventListener("click", () => {
      button.form.querySelectorAll(".stream-head input").forEach((box) => {
        box.checked = Boolean(button.dataset.checkAll);
      });
    });
  });
  root.querySelectorAll("input[data-timezone]").forEach((input) => {
    if (input.value !== "UTC") return;
    const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (here) input.value = here;
  });
  root.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    // What is answered by a file leaves the page as it is, and may be asked for again.
    if (form.dataset.file !== undefined) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    if (event.submitter) event.submitter.setAttribute("aria-busy", "true");
  });
  // A page that comes back from the browser's own cache may be sent again.
  window.addEventListener("pageshow", () => {
    root.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
    root.querySelectorAll("button[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
  });
}
