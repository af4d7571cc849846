// The form of a new API token: a live summary of the selected scopes. Without
// this file a button asks the server for the summary.

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
