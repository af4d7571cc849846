// What GraphiQL keeps while the window is open: queries, tabs, sizes. Not
// variables: they may be passwords.

const lists = ["graphiql:tabState", "graphiql:queries", "graphiql:favorites"];
const withoutVariables = (text) => JSON.stringify(JSON.parse(text), (name, value) => (name === "variables" ? null : value));

// memory is GraphiQL's storage for an address. Of tabs with a query that is
// given anew, it has none.
export function memory(address, given) {
  const own = (key) => `${address} ${key}`;
  const keys = () => Object.keys(sessionStorage).filter((key) => key.startsWith(own("")));
  const storage = {
    get length() { return keys().length; },
    getItem: (key) => sessionStorage.getItem(own(key)),
    removeItem: (key) => sessionStorage.removeItem(own(key)),
    clear: () => keys().forEach((key) => sessionStorage.removeItem(key)),
    setItem(key, value) {
      if (key === "graphiql:variables") return;
      sessionStorage.setItem(own(key), lists.includes(key) ? withoutVariables(value) : value);
    },
  };
  const kept = JSON.parse(storage.getItem("graphiql:tabState"));
  if (kept && given !== undefined) {
    storage.setItem("graphiql:tabState", JSON.stringify({ ...kept, tabs: kept.tabs.filter((tab) => tab.query !== given) }));
  }
  return storage;
}
