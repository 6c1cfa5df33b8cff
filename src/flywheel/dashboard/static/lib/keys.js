// Keys of the page in hand. useKeys({"j": {label: "next", run}}) works while its component is shown; typing in a field,
// an open dialog and keys with Ctrl, Alt or Meta are left alone. `listed()` is what "?" shows.
import { useEffect, useRef } from "./ui.js";

const open = new Set();
const NAMES = { ArrowRight: "→", ArrowLeft: "←", ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc" };

export function useKeys(keys) {
  const now = useRef(keys);
  now.current = keys;
  useEffect(() => {
    open.add(now);
    return () => open.delete(now);
  }, []);
}

export function listed() {
  const found = new Map();
  for (const each of open) {
    for (const [key, { label }] of Object.entries(each.current)) {
      found.set(label, [...(found.get(label) ?? []), NAMES[key] ?? key]);
    }
  }
  return [...found].map(([label, keys]) => ({ label, keys }));
}

const typing = (target) => target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    for (const each of [...open].reverse()) {
      const found = each.current[event.key];
      if (!found) continue;
      event.preventDefault();
      found.run(event);
      return;
    }
  });
}
