// A long name that may be broken after "/", "-", "_" and "@" where there is no room for it.
import { html } from "../lib/ui.js";

export const Breakable = ({ name }) => String(name).split(/(?<=[/\-_@])/).map((part, at) => html`${at > 0 && html`<wbr />`}${part}`);
