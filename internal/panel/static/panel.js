// Copy buttons and the viewer's time zone. Everything else works without this
// file.

document.documentElement.classList.add("js");

// The cookie with the time zone, used from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) {
  document.cookie = `latchkey-zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax` + (location.protocol === "https:" ? "; secure" : "");
}

// A button with data-copy copies the text of the element that it names, and
// reports it in the element that data-status names.
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

// Signing out deletes what pages stored in this window, so that the next user
// of the window cannot read it.
if (!document.querySelector('form[action="/signout"]')) sessionStorage.clear();
