// The address bar as state: where we are, going elsewhere, and links that do so without loading the page anew.
import { useEffect, useState } from "./ui.js";
import { match } from "./routes.js";

const listeners = new Set();
const changed = () => listeners.forEach((each) => each());

export function go(address, { replace = false } = {}) {
  if (address === location.pathname + location.search + location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  changed();
}

// The present {path, query, hash}; the component is drawn again whenever it changes.
export function useAddress() {
  const [, draw] = useState(0);
  useEffect(() => {
    const again = () => draw((count) => count + 1);
    listeners.add(again);
    return () => listeners.delete(again);
  }, []);
  return { path: location.pathname, query: new URLSearchParams(location.search), hash: location.hash };
}

// Change parameters of the query where we are; empty ones go. Whatever is filtered starts at its first page.
export function setQuery(changes, { replace = true } = {}) {
  const query = new URLSearchParams(location.search);
  if (!("offset" in changes)) query.delete("offset");
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value == null || value === 0) query.delete(name);
    else query.set(name, value);
  }
  go(location.pathname + (query.size ? `?${query}` : ""), { replace });
}

// Clicks on links to our own pages change the address only; all others are the browser's.
export function followLinks() {
  window.addEventListener("popstate", changed);
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.("a[href]");
    if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
    if (link.hash && link.pathname === location.pathname && link.search === location.search) return;
    if (!match(link.pathname)) return;
    event.preventDefault();
    go(link.pathname + link.search + link.hash);
  });
}
