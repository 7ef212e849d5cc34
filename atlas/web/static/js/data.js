// What the pages of data and governance have beside app.js: a button that copies a text, boxes that
// are ticked together.
document.querySelectorAll("button[data-copy]").forEach((button) => {
  const words = button.querySelector("span");
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      words.textContent = "Copied";
    } catch {
      // Not every page may write to the clipboard; then the text is at least chosen.
      getSelection().selectAllChildren(source);
      words.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { words.textContent = "Copy"; }, 2500);
  });
});

document.querySelectorAll("input[data-ticks]").forEach((all) => {
  const boxes = () => document.querySelectorAll(`input[type="checkbox"][name="${all.dataset.ticks}"]`);
  all.addEventListener("change", () => boxes().forEach((box) => { box.checked = all.checked; }));
});
