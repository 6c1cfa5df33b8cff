// The theme: the system's, light or dark; what was chosen is remembered in this browser. theme.js applies it at the start.
const KEY = "flywheel-theme";
const ORDER = ["system", "light", "dark"];

export const theme = () => document.documentElement.dataset.theme ?? "system";

export function nextTheme() {
  const chosen = ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // Not remembered where storage is forbidden.
  }
  return chosen;
}
