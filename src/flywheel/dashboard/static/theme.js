// Runs before the first paint: the theme that was chosen, if one was. Not a module, since those run later.
try {
  const chosen = localStorage.getItem("flywheel-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; then the system's theme it is.
}
