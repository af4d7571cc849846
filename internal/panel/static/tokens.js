// The pages of API tokens: a checkbox for the whole table, a live summary,
// protection against double submits, and the dialog of secrets. Without this
// file the pages do the same with the server's help.

// The checkbox that selects all rows of a table.
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-all]")) return;
  for (const box of event.target.closest("table").querySelectorAll("tbody input[type=checkbox]")) box.checked = event.target.checked;
});

// A form that is submitted once: its button works once, until the page is shown
// again.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-once]")) return;
  const buttons = [...event.target.querySelectorAll("button")];
  setTimeout(() => buttons.forEach((b) => (b.disabled = true)));
  addEventListener("pageshow", () => buttons.forEach((b) => (b.disabled = false)), { once: true });
});

// Enter in a field presses the first button of a form, even a hidden one.
for (const button of document.querySelectorAll("button.unscripted")) button.type = "button";

// A field's date and time in the format of the pages.
const asTime = (text) => {
  const [, year, month, day, clock] = /^(\d+)-(\d+)-(\d+)T(\d+:\d+)/.exec(text);
  const name = new Date(Date.UTC(2000, month - 1, 1)).toLocaleString(document.documentElement.lang, { month: "short", timeZone: "UTC" });
  return `${Number(day)} ${name} ${year}, ${clock}`;
};

// The summary of the selected scopes.
const choosing = document.querySelector("form[data-summary]");
if (choosing) {
  const list = document.getElementById("summary-list");
  const summarise = () => {
    const chosen = [...choosing.querySelectorAll("input[data-resource]:checked")];
    const implied = new Set(chosen.flatMap((c) => c.dataset.implies.split(" ")));
    const lines = new Map();
    for (const c of chosen.filter((c) => !implied.has(c.value))) {
      const line = lines.get(c.dataset.resource) || { permissions: [], sentences: [] };
      line.permissions.push(c.dataset.permission);
      line.sentences.push(c.dataset.sentence);
      lines.set(c.dataset.resource, line);
    }
    list.replaceChildren(...[...lines].map(([resource, line]) => {
      const item = document.createElement("li");
      const hint = document.createElement("span");
      hint.className = "hint";
      hint.textContent = line.sentences.join(" ");
      item.append(`${resource}: ${line.permissions.join(", ")}`, hint);
      return item;
    }));
    document.getElementById("summary-nothing").hidden = lines.size > 0;
    const date = choosing.elements.expiresAt.value;
    const choice = choosing.elements.expiresIn;
    const chosenEnd = choice && (choice.selectedOptions[0].dataset.end || choice.selectedOptions[0].text);
    if (date || choice) document.getElementById("summary-end").textContent = date ? asTime(date) : chosenEnd;
  };
  choosing.addEventListener("change", summarise);
  addEventListener("pageshow", summarise);
}

// Secrets are shown once, in a dialog over the page. The page's address does not
// show them again, and leaving the page removes them. If the user has copied and
// downloaded nothing, closing asks for confirmation. The automatic download does
// not count, because the page cannot know whether the browser saved it.
const secrets = document.getElementById("secrets");
if (secrets) {
  const leave = document.getElementById("leave");
  const { address, done } = secrets.dataset;
  let kept = false;
  let leaving = false;
  history.replaceState(null, "", address);
  secrets.removeAttribute("open");
  secrets.showModal();
  document.getElementById("secrets-title").focus();

  const keep = () => { kept = true; };
  const go = () => {
    leaving = true;
    location.replace(done);
  };
  const close = () => { if (kept) go(); else if (!leave.open) leave.showModal(); };

  secrets.addEventListener("copied", keep);
  for (const link of secrets.querySelectorAll("[data-file]")) link.addEventListener("click", (event) => { if (event.isTrusted) keep(); });
  document.getElementById("done").addEventListener("click", (event) => { event.preventDefault(); close(); });
  document.getElementById("stay").addEventListener("click", () => leave.close());
  document.getElementById("go").addEventListener("click", (event) => { event.preventDefault(); go(); });
  secrets.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  // A browser can close a dialog even if its cancel event is prevented: open it again.
  secrets.addEventListener("close", () => {
    if (leaving) return;
    secrets.showModal();
    close();
  });
  addEventListener("beforeunload", (event) => { if (!kept && !leaving) event.preventDefault(); });
  addEventListener("pagehide", () => {
    leaving = true;
    secrets.replaceChildren();
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.replace(address); });

  secrets.querySelector("[data-file=txt]").click();
  const downloaded = document.getElementById("downloaded");
  downloaded.textContent = downloaded.dataset.text;
}
