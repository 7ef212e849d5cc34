// The operations to try: Swagger UI in the place of the list, which is what is there without this.
const read = document.getElementById("read");
const trial = document.getElementById("try");
const views = document.getElementById("views");
const [toTry, toRead] = views.querySelectorAll("button");

function show(trying) {
  trial.hidden = !trying;
  read.hidden = trying;
  toTry.setAttribute("aria-pressed", String(trying));
  toRead.setAttribute("aria-pressed", String(!trying));
}

function fromHash() {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = id && !id.startsWith("/") ? document.getElementById(id) : null;
  if (target) {
    if (read.contains(target)) show(false);
    target.scrollIntoView();
  }
}

window.SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  domNode: trial,
  presets: [window.SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  // Nobody else is asked whether the document is right.
  validatorUrl: null,
  onComplete: fromHash,
});

toTry.addEventListener("click", () => show(true));
toRead.addEventListener("click", () => show(false));
window.addEventListener("hashchange", fromHash);
views.hidden = false;
show(true);
