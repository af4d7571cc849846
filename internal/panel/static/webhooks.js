// The form of a webhook: a box for all types of a group, or for all types, checks
// and locks the boxes that it covers. Without this file they stay as they are, and
// the server drops what is covered.

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
document.addEventListener("change", (event) => { if (boxes.includes(event.target)) settle(); });
addEventListener("pageshow", settle);
