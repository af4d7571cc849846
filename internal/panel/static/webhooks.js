// The form of a webhook: a box for all types of a group, or for all types, checks
// and locks the boxes that it covers. The form says how many types are chosen, and
// which. Without this file the boxes stay as they are, and the server drops what is
// covered.

const boxes = [...document.querySelectorAll("input[name=eventTypes]")];
const covers = (box, other) => box !== other && box.checked && (box.value === "*" || box.value.endsWith(".*") && other.value.startsWith(box.value.slice(0, -1)));
const own = new Map(); // what the user chose for a box before it was covered
const settle = () => {
  for (const box of boxes) { // the boxes that cover others come before them
    const covered = boxes.some((b) => covers(b, box));
    if (covered && !box.disabled) own.set(box, box.checked);
    if (!covered && box.disabled) box.checked = own.get(box);
    if (covered) box.checked = true;
    box.disabled = covered;
  }
};

// The chosen boxes by name, each a link to its box, and how many types they cover.
const mostNames = 5;
const selected = document.getElementById("selected");
const total = document.getElementById("total");
const report = () => {
  for (const badge of document.querySelectorAll("[data-count]")) {
    const n = badge.closest("details").querySelectorAll("input:checked").length;
    badge.textContent = badge.dataset.text.replace("%d", n);
    badge.classList.toggle("accent", n > 0);
  }
  const types = boxes.filter((box) => box.checked && !box.value.endsWith("*")).length;
  total.textContent = [total.dataset.none, total.dataset.single][types] ?? total.dataset.many.replace("%d", types);
  const chosen = boxes.filter((box) => box.checked && !box.disabled);
  const names = chosen.slice(0, mostNames).flatMap((box) => {
    const link = document.createElement("a");
    link.href = `#${box.id}`;
    link.append(box.value === "*" ? box.labels[0].textContent : Object.assign(document.createElement("code"), { textContent: box.value }));
    return [link, ", "];
  }).slice(0, -1);
  if (chosen.length > mostNames) names.push(` ${selected.dataset.more.replace("%d", chosen.length - mostNames)}`);
  selected.hidden = chosen.length === 0;
  selected.firstElementChild.replaceChildren(`${total.textContent}: `, ...names);
};
selected.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  const box = link && document.getElementById(link.hash.slice(1));
  if (box) {
    event.preventDefault();
    box.closest("details")?.setAttribute("open", "");
    box.focus();
  } else if (event.target.closest("button")) {
    own.clear();
    for (const each of boxes) each.checked = each.disabled = false;
    report();
    document.getElementById("find").focus();
  }
});

document.addEventListener("change", (event) => {
  if (!boxes.includes(event.target)) return;
  settle();
  report();
});
addEventListener("pageshow", () => {
  settle();
  report();
});
