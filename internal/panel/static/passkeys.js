// Passkeys: browsers offer them only to scripts. Elements with data-passkey are
// shown if the browser supports passkeys, and submit the authenticator's
// response in a field of a form. The server does everything else.

const known = window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON && PublicKeyCredential.parseCreationOptionsFromJSON;

async function ask(part) {
  if (part.dataset.passkey === "create") {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(part.dataset.options)) });
  }
  const answer = await fetch(part.dataset.from, { method: "POST" });
  if (!answer.ok) throw new Error(answer.statusText);
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(await answer.json()) });
}

async function prove(part) {
  const status = part.querySelector("[data-failed]");
  status.textContent = "";
  try {
    const credential = await ask(part);
    const form = document.getElementById(part.dataset.form);
    const field = document.createElement("input");
    field.type = "hidden";
    field.name = part.dataset.field;
    field.value = JSON.stringify(credential);
    form.append(field);
    form.submit();
  } catch {
    status.textContent = status.dataset.failed;
  }
}

if (known) {
  for (const part of document.querySelectorAll("[data-passkey]")) {
    part.hidden = false;
    const form = part.closest("form");
    if (form) {
      form.addEventListener("submit", (event) => { event.preventDefault(); prove(part); });
    } else {
      part.querySelector("button").addEventListener("click", () => prove(part));
    }
  }
  for (const part of document.querySelectorAll("[data-without-passkeys]")) part.hidden = true;
}
