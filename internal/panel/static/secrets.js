// The dialog that shows secrets. Without this file the page shows them with the
// same links.

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
