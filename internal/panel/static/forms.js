// What forms share: a checkbox for a whole list, a choice for all its rows, and
// protection against double submits. Without this file the pages do the same with the server's help.

// The checkbox that selects all rows of a table or a list. It has a dash while some
// of them are selected.
const boxesOf = (all) => [...all.closest("table, form").querySelectorAll("input[type=checkbox]:not([data-all])")];
const markAll = () => {
  for (const all of document.querySelectorAll("[data-all]")) {
    const boxes = boxesOf(all);
    all.checked = boxes.length > 0 && boxes.every((box) => box.checked);
    all.indeterminate = !all.checked && boxes.some((box) => box.checked);
  }
};
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) boxesOf(event.target).forEach((box) => (box.checked = event.target.checked));
  markAll();
});
addEventListener("pageshow", markAll);

// A choice that all rows of a list take over.
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-fills]")) return;
  for (const each of event.target.closest("fieldset").querySelectorAll("select:not([data-fills])")) each.value = event.target.value;
});

// All or none of the boxes of a group.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-boxes]");
  if (!button) return;
  for (const box of button.closest("details").querySelectorAll("input[type=checkbox]:not(:disabled)")) box.checked = button.dataset.boxes === "all";
});

// A choice that filters a list applies at once. With the keyboard, which passes
// other choices on its way, the form's button applies it.
let keyed = false;
addEventListener("keydown", () => { keyed = true; }, true);
addEventListener("pointerdown", () => { keyed = false; }, true);
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]") && !keyed) event.target.form.requestSubmit();
});

// The number of chosen rows, in the bar with what can be done with them.
const countChosen = () => {
  for (const shown of document.querySelectorAll("[data-chosen]")) {
    shown.textContent = shown.dataset.text.replace("%d", shown.closest("form").querySelectorAll(".pick input[name]:checked").length);
  }
};
document.addEventListener("change", countChosen);
addEventListener("pageshow", countChosen);

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

// A button that names the amount in a field.
for (const button of document.querySelectorAll("[data-names]")) {
  const field = document.getElementById(button.dataset.names), plain = button.textContent;
  const name = () => {
    const amount = Number(field.value);
    button.textContent = /^\d+(\.\d{1,2})?$/.test(field.value.trim()) && amount > 0 ? button.dataset.naming.replace("%s", button.dataset.sign + amount.toFixed(2)) : plain;
  };
  field.addEventListener("input", name);
  addEventListener("pageshow", name);
}
