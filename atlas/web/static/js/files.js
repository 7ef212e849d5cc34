// Sends a file to the API as it is, with how far it has come; what is wrong is said beside it.
const form = document.querySelector("form[data-upload]");

function tell(words) {
  const place = form.querySelector("[role=alert]");
  place.textContent = words;
  place.hidden = !words;
}

function reason(request) {
  try {
    return JSON.parse(request.responseText).detail || request.statusText;
  } catch {
    return request.statusText || "no answer came";
  }
}

function send(file, name) {
  const bar = form.querySelector("progress");
  const button = form.querySelector("button");
  const request = new XMLHttpRequest();
  request.open("PUT", form.dataset.upload + encodeURIComponent(name));
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.setRequestHeader(form.dataset.header, form.elements.csrf_token.value);
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) bar.value = event.loaded / event.total;
  });
  request.addEventListener("loadend", () => {
    if (request.status === 200) return window.location.reload();
    bar.hidden = true;
    button.disabled = false;
    tell("Not kept: " + reason(request) + ".");
  });
  bar.hidden = false;
  button.disabled = true;
  request.send(file);
}

if (form) {
  const chosen = form.elements.file;
  const name = form.elements.name;
  chosen.addEventListener("change", () => {
    if (!chosen.files.length) return;
    name.value = chosen.files[0].name.replace(/[^A-Za-z0-9._-]+/g, "_").replace(/^[^A-Za-z0-9]+/, "").slice(0, 100);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    tell("");
    if (chosen.files.length) send(chosen.files[0], name.value.trim());
  });
}
