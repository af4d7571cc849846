// What GraphiQL lacks for people who hear it or use a keyboard: names, a way out
// of its editors by Tab, and tabs that are what they do. It is done as its
// elements come.

// mend sees to all of GraphiQL in a place, now and later. The words are what to
// call things.
export function mend(place, words) {
  const look = () => {
    each(place, ".CodeMirror:not([data-mended])", mendEditor);
    each(place, ".graphiql-tabs", mendTabs);
    each(place, ".graphiql-response:not([data-unanswered])", (pane) => { pane.dataset.unanswered = words.unanswered; });
    each(place, ".graphiql-session-header:not([data-title])", (header) => { header.dataset.title = words.tab; });
    // They are called what they show.
    each(place, ".graphiql-history-item-label[aria-label]", (item) => item.removeAttribute("aria-label"));
    each(document, ".CodeMirror-hints:not([aria-label])", (list) => {
      list.setAttribute("aria-label", words.completions);
      list.tabIndex = 0; // it scrolls
    });
    each(document, ".CodeMirror-info, .CodeMirror-lint-tooltip, [data-radix-popper-content-wrapper]:has([role=tooltip])", (note) => note.setAttribute("role", "status"));
    each(document, "[data-radix-popper-content-wrapper]:has([role=menu])", (menu) => {
      menu.setAttribute("role", "dialog");
      menu.setAttribute("aria-label", words.operations);
      menu.querySelector(".graphiql-dropdown-content").dataset.title = words.operations;
    });
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true, attributeFilter: ["class"] });
  // Deleting what the window keeps cannot be undone.
  document.addEventListener("click", (event) => {
    if (event.target.closest(".graphiql-dialog-section .graphiql-button") && !confirm(words.clear)) event.stopPropagation();
  }, true);
}

const each = (root, selector, act) => root.querySelectorAll(selector).forEach(act);

function mendEditor(element) {
  element.dataset.mended = "";
  const editor = element.CodeMirror;
  editor.setOption("screenReaderLabel", element.closest("section[aria-label]").getAttribute("aria-label"));
  editor.addKeyMap({ Tab: false, "Shift-Tab": false });
  element.querySelector(".CodeMirror-scroll").tabIndex = 0;
  const answer = element.closest(".result-window");
  const wrap = () => editor.setOption("lineWrapping", !answer || wide.matches);
  wrap();
  if (answer) wide.addEventListener("change", wrap);
}

// A response breaks its lines where there is room, and scrolls where there is not.
const wide = matchMedia("(min-width: 60.01rem)");

// mendTabs makes a group of buttons of tabs that have buttons in them. Tabs
// without a name have numbers.
function mendTabs(list) {
  list.setAttribute("role", "group");
  each(list, "li", (tab, i) => {
    tab.setAttribute("role", "none");
    tab.removeAttribute("aria-selected");
    const button = tab.querySelector("button");
    button.setAttribute("aria-pressed", tab.classList.contains("graphiql-tab-active"));
    if (button.textContent === "Untitled") button.dataset.number = i + 1;
    else delete button.dataset.number;
  });
}
