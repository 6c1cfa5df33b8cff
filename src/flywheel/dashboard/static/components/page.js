// The frame of a page: title, what is under it, buttons at its side, a trail of links above.
import { html, useEffect } from "../lib/ui.js";

// `trail` is [[label, href], …]. `title` is also the browser's.
export function Page({ title, name, trail = [], actions, about, children }) {
  useEffect(() => {
    document.title = `${name ?? title} · Flywheel`;
  }, [name, title]);
  return html`<div class="page">
    ${trail.length > 0 && html`<nav class="trail" aria-label="Where this is"><ol>${trail.map(([label, href]) => html`<li><a href=${href}>${label}</a></li>`)}</ol></nav>`}
    <header class="title"><div><h1>${title}</h1>${about && html`<div class="about">${about}</div>`}</div>
      ${actions && html`<div class="group">${actions}</div>`}</header>
    ${children}
  </div>`;
}

// A part of a page with a heading that can be linked to.
export const Section = ({ id, title, about, actions, children }) => html`<section id=${id} aria-labelledby=${`${id}-title`}>
  <header class="section"><h2 id=${`${id}-title`}>${title}</h2>${actions && html`<div class="group">${actions}</div>`}</header>
  ${about && html`<p class="soft lead">${about}</p>`}
  ${children}
</section>`;

// Facts as pairs: <${Facts} of=${[["Records", 120], …]} />; a pair without a value is left out.
export const Facts = ({ of }) => html`<dl class="facts">${of.filter(([, value]) => value !== undefined && value !== null && value !== "").map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

