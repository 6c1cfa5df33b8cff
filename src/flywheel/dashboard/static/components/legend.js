// What the colours of a plot mean: [[text, colour, kind?]], kind "line", "dot", "hollow", "diamond" or a square.
import { html } from "../lib/ui.js";

export const Legend = ({ of }) => html`<ul class="legend">${of.map(([text, colour, kind]) => html`<li key=${text}><span class=${`swatch ${kind ?? ""}`} style=${{ color: colour }} aria-hidden="true"></span>${text}</li>`)}</ul>`;
