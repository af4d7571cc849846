// Copy buttons and the viewer's time zone. Everything else works without this
// file.

document.documentElement.classList.add("js");

// The cookie with the time zone, used from the next page on. It is set when the page is first used, and not
// while it loads: the first call of Intl takes a phone longer than the rest of this file.
const setZone = () => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone) return;
  document.cookie = `latchkey-zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax` + (location.protocol === "https:" ? "; secure" : "");
};
for (const type of ["pointerdown", "keydown"]) addEventListener(type, setZone, { once: true, capture: true });

// A button with data-copy copies the text of the element that it names, and one
// with data-text copies this text. The button shows a check mark briefly, and the
// element that data-status names announces it to screen readers. If it failed,
// that element is shown.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy], button[data-text]");
  if (!button) return;
  const text = button.dataset.text ?? document.getElementById(button.dataset.copy).textContent.trim();
  const status = document.getElementById(button.dataset.status);
  const tell = (said, hide) => {
    status.textContent = said;
    status.classList.toggle("hidden", hide);
  };
  try {
    await navigator.clipboard.writeText(text);
    tell(button.dataset.copied, true);
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 2000);
    button.dispatchEvent(new CustomEvent("copied", { bubbles: true }));
  } catch {
    tell(button.dataset.failed, false);
  }
});

// A button with data-print prints the page.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) print();
});

// A field with data-find shows only the rows with its words, and the sections
// that have such rows, in the element that it names. It opens groups of rows that
// are closed; wasOpen says which were open before.
const wasOpen = new Map();
document.addEventListener("input", (event) => {
  const place = document.getElementById(event.target.dataset.find);
  if (!place) return;
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const row of place.querySelectorAll("[data-words]")) row.hidden = !words.every((word) => row.dataset.words.includes(word));
  const sections = [...place.querySelectorAll("[data-found]")];
  for (const section of sections) section.hidden = !section.querySelector("[data-words]:not([hidden])");
  place.querySelector(".empty").hidden = sections.some((section) => !section.hidden);
  const filtered = words.some(Boolean);
  for (const group of place.querySelectorAll("details:has([data-words])")) {
    if (!wasOpen.has(group)) wasOpen.set(group, group.open);
    group.open = filtered || wasOpen.get(group);
    if (!filtered) wasOpen.delete(group);
  }
});

// Enter in such a field does not submit the form around it.
document.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.dataset.find) event.preventDefault(); });

// Signing out deletes what pages stored in this window, so that the next user
// of the window cannot read it.
if (!document.querySelector('form[action="/signout"]')) sessionStorage.clear();

// The theme changes without loading the page again, so that no form on it is
// lost. GraphiQL reads its theme only at its start.
document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-theme-form]");
  if (!form || document.getElementById("graphiql")) return;
  event.preventDefault();
  const chosen = event.submitter.value;
  document.documentElement.dataset.theme = chosen;
  document.querySelector("meta[name=color-scheme]").content = chosen === "system" ? "light dark" : chosen;
  for (const button of form.elements) button.setAttribute("aria-pressed", button.value === chosen);
  fetch(form.action, { method: "POST", keepalive: true, redirect: "manual", body: new URLSearchParams({ theme: chosen }) });
});

// The tab that leads to the shown part of a page. The stylesheet shows the part.
const tabs = [...document.querySelectorAll('.tabs a[href^="#"]')];
const markTab = () => {
  const shown = tabs.findIndex((tab) => document.querySelector(tab.hash)?.matches(":has(:target), :target"));
  tabs.forEach((tab, i) => (i === Math.max(shown, 0) ? tab.setAttribute("aria-current", "true") : tab.removeAttribute("aria-current")));
  const current = tabs[Math.max(shown, 0)];
  current?.parentElement.scrollTo({ left: current.offsetLeft - current.parentElement.offsetLeft - 16 });
};
addEventListener("hashchange", markTab);
addEventListener("resize", markTab);
markTab();
