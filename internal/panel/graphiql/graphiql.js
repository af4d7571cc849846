// GraphiQL in the place of the API explorer's form, where scripts run. It asks
// the API at the form's address for scripts. A mutation that is held goes into
// the form, which takes it along while the visitor confirms who they are.

import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import "./graphiql.css";
import { memory } from "./memory.js";
import { mend } from "./mend.js";

const form = document.getElementById("explorer");
const held = document.getElementById("held");
const place = document.getElementById("graphiql");
const { query, variables, operationName } = form.elements;

async function fetcher(request) {
  try {
    const response = await fetch(form.dataset.query, {
      method: "POST", redirect: "error", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify(request),
    });
    hold(response.status === 403, request);
    return await response.json();
  } catch {
    return { errors: [{ message: form.dataset.failed }] };
  }
}

function hold(refused, request) {
  held.hidden = !refused;
  if (!refused) return;
  query.value = request.query;
  variables.value = request.variables ? JSON.stringify(request.variables, null, 2) : "";
  operationName.value = request.operationName ?? "";
  held.scrollIntoView({ block: "nearest" });
}

const given = form.hasAttribute("data-restore") ? {} : { query: query.value, variables: variables.value, operationName: operationName.value || undefined };
document.getElementById("by-form").hidden = true;
place.hidden = false;
mend(place, form.dataset);
createRoot(place).render(createElement(GraphiQL, {
  ...given,
  fetcher,
  storage: memory(form.action, given.query),
  defaultQuery: query.value,
  forcedTheme: document.documentElement.dataset.theme,
  isHeadersEditorEnabled: false, // the session is what signs in
  shouldPersistHeaders: false,
}));
