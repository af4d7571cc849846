// The form of a new API token: presets, implied scopes and a live summary.
// Without this file the presets are links, and a button asks the server for the
// summary.

// A field's date and time in the format of the pages.
const asTime = (text) => {
  const [, year, month, day, clock] = /^(\d+)-(\d+)-(\d+)T(\d+:\d+)/.exec(text);
  const name = new Date(Date.UTC(2000, month - 1, 1)).toLocaleString(document.documentElement.lang, { month: "short", timeZone: "UTC" });
  return `${Number(day)} ${name} ${year}, ${clock}`;
};

const scopes = document.getElementById("scopes");
const choices = [...scopes.querySelectorAll("input[name]")];
const form = scopes.closest("form");

// A permission that another one implies is checked and locked. own is what the
// user chose for it before.
const own = new Map();
const lock = () => {
  const boxes = choices.filter((c) => c.type === "checkbox");
  const chosen = (box) => box.checked && !(box.disabled && own.get(box) === false);
  const implied = new Set(boxes.filter(chosen).flatMap((c) => c.dataset.implies.split(" ")));
  for (const box of boxes) {
    const locked = implied.has(box.value);
    if (locked && !box.disabled) own.set(box, box.checked);
    if (!locked && box.disabled) box.checked = own.get(box);
    if (locked) box.checked = true;
    box.disabled = locked;
  }
};

// The number of resources with a chosen permission, for each group.
const count = () => {
  for (const group of scopes.querySelectorAll("details")) {
    const names = new Set([...group.querySelectorAll("input[data-resource]:checked")].map((c) => c.name));
    const badge = group.querySelector("[data-count]");
    badge.hidden = names.size === 0;
    badge.textContent = badge.dataset.text.replace("%d", names.size);
  }
};

const list = document.getElementById("summary-list");
const summarise = () => {
  lock();
  count();
  if (!list) return;
  const chosen = [...form.querySelectorAll("input[data-resource]:checked")];
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
  const chosenEnd = form.elements.expiresIn.selectedOptions[0];
  const date = form.elements.expiresAt.value;
  document.getElementById("summary-end").textContent = chosenEnd.dataset.end || (chosenEnd.value === "custom" && date ? asTime(date) : chosenEnd.text);
};

// select chooses permissions: those for which wanted is true, and none for a
// resource without one.
const select = (among, wanted) => {
  for (const c of among) {
    if (c.type === "checkbox" && c.disabled) own.set(c, wanted(c));
    else c.checked = wanted(c);
  }
  for (const c of among) {
    if (c.type === "radio" && c.value === "") c.checked = !among.some((other) => other.name === c.name && other.value !== "" && other.checked);
  }
  summarise();
};

// A preset is no longer the current one when another scope is chosen.
const unmark = () => { for (const preset of document.querySelectorAll("[data-preset]")) preset.removeAttribute("aria-current"); };
scopes.addEventListener("change", unmark);

document.addEventListener("click", (event) => {
  const preset = event.target.closest("[data-preset]");
  const all = event.target.closest("[data-choose]");
  const add = event.target.closest("[data-add]");
  if (preset) {
    event.preventDefault();
    const names = preset.dataset.preset.split(" ");
    select(choices, (c) => names.includes(c.value));
    for (const group of scopes.querySelectorAll("details")) group.open = group.querySelector("input[data-resource]:checked") !== null;
    unmark();
    preset.setAttribute("aria-current", "true");
  }
  if (all) unmark();
  if (all) select([...all.closest("details").querySelectorAll("input[name]")], (c) => c.dataset.permission === all.dataset.choose);
  if (add) {
    const field = document.getElementById(add.dataset.to);
    const lines = field.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (!lines.includes(add.dataset.add)) field.value = [...lines, add.dataset.add].join("\n");
  }
});

// A name that another token has is a reason to ask, and no error.
const used = document.getElementById("name-used");
if (used) {
  const names = JSON.parse(used.dataset.used).map((name) => name.toLowerCase());
  form.elements.name.addEventListener("input", (event) => { used.hidden = !names.includes(event.target.value.trim().toLowerCase()); });
}

form.addEventListener("change", summarise);
addEventListener("pageshow", summarise);
