// Where it begins.
import { html, render } from "./lib/ui.js";
import { followLinks } from "./lib/address.js";
import { listenToKeys } from "./lib/keys.js";
import { Shell } from "./shell.js";

followLinks();
listenToKeys();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${Shell} />`, root);
