// What forms share: a checkbox for a whole list, and protection against double
// submits. Without this file the pages do the same with the server's help.

// The checkbox that selects all rows of a table or a list.
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-all]")) return;
  for (const box of event.target.closest("table, form").querySelectorAll("input[type=checkbox]:not([data-all])")) box.checked = event.target.checked;
});

// All or none of the boxes of a group.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-boxes]");
  if (!button) return;
  for (const box of button.closest("details").querySelectorAll("input[type=checkbox]:not(:disabled)")) box.checked = button.dataset.boxes === "all";
});

// A choice that filters a list applies at once.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
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
