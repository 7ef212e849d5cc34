// Light, dark, or as the system: at once here, and in the cookie that the server reads.
export function start(root) {
  const form = root.querySelector("form[data-themes]");
  if (!form) return;
  form.addEventListener("submit", (event) => {
    const theme = event.submitter && event.submitter.value;
    if (!theme) return;
    event.preventDefault();
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    document.cookie = `atlas_theme=${theme}; path=/; max-age=31536000; samesite=lax`;
    form.querySelectorAll("button").forEach((button) => {
      button.setAttribute("aria-pressed", String(button === event.submitter));
    });
  });
}
