// What a page cannot do without a script: copying, and knowing the viewer's
// time zone. Everything else works without this file.

document.documentElement.classList.add("js");

// The zone in which times are shown, for the pages that come next.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) {
  document.cookie = `latchkey-zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax` + (location.protocol === "https:" ? "; secure" : "");
}

// A button with data-copy copies the text of the element that it names, and
// says so where data-status points.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent.trim();
  const status = document.getElementById(button.dataset.status);
  try {
    await navigator.clipboard.writeText(text);
    if (status) status.textContent = button.dataset.copied;
    button.dispatchEvent(new CustomEvent("copied", { bubbles: true }));
  } catch {
    if (status) status.textContent = button.dataset.failed;
  }
});

// What pages kept in this window is for whoever is signed in: nobody else finds
// it once they are out.
if (!document.querySelector('form[action="/signout"]')) sessionStorage.clear();
