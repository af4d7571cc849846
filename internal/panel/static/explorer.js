// The API explorer without loading a page: Run and Ctrl+Enter ask the API and
// show its answer, and the last query stays while the window is open. What the
// server has something to say about, it is sent as a form.

const form = document.getElementById("explorer");
const { query, variables, operationName } = form.elements;
const answer = document.getElementById("answer");
const status = document.getElementById("answer-status");
const text = document.getElementById("answer-text");
const held = document.getElementById("held");
const kept = form.action;
let latest = 0;

// Variables are not kept: they may be passwords.
if (form.hasAttribute("data-restore") && sessionStorage.getItem(kept)) {
  query.value = sessionStorage.getItem(kept);
  variables.value = "";
}
const keep = () => sessionStorage.setItem(kept, query.value);
query.addEventListener("input", keep);

form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit();
});

form.addEventListener("submit", (event) => {
  keep();
  if (event.submitter?.hasAttribute("formaction")) return;
  const given = variables.value.trim() || "null";
  try {
    JSON.parse(given);
  } catch {
    return;
  }
  event.preventDefault();
  const named = JSON.stringify(operationName.value.trim() || null);
  // As they were written: numbers may be more exact than a script's.
  run(`{"query":${JSON.stringify(query.value)},"operationName":${named},"variables":${given}}`);
});

async function run(request) {
  const mine = ++latest;
  const began = performance.now();
  answer.hidden = false;
  status.textContent = form.dataset.running;
  let said = form.dataset.failed;
  let body = "";
  let refused = false;
  try {
    const response = await fetch(form.dataset.query, {
      method: "POST", redirect: "error", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: request,
    });
    body = JSON.stringify(await response.json(), null, 2);
    refused = response.status === 403;
    said = form.dataset.took.replace("{status}", response.status).replace("{ms}", Math.round(performance.now() - began));
  } catch {
    body = "";
  }
  if (mine !== latest) return;
  status.textContent = said;
  text.textContent = body;
  held.hidden = !refused;
  variables.removeAttribute("aria-invalid"); // what the server said of them was answered
  document.getElementById("variables-error")?.remove();
}
