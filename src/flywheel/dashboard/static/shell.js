// The frame around every page: navigation, theme, the keys, and the page that the address names.
import { Fragment, html, useEffect, useRef, useState } from "./lib/ui.js";
import { useAddress } from "./lib/address.js";
import { listed, useKeys } from "./lib/keys.js";
import { match, routes, sections } from "./lib/routes.js";
import { nextTheme, theme } from "./lib/theme.js";
import { Dialog } from "./components/dialog.js";
import { Empty, Loading, Problem } from "./components/states.js";

export function Shell() {
  const { path, query } = useAddress();
  const found = match(path);
  const [keys, setKeys] = useState(false);
  const main = useRef(null);
  useKeys({
    "/": { label: "Search or filter", run: () => document.querySelector("[data-search]")?.focus() },
    "?": { label: "Show the keys", run: () => setKeys(true) },
  });
  useEffect(() => {
    if (!location.hash) scrollTo(0, 0);
  }, [path]);
  return html`<a class="skip" href="#main" onClick=${(event) => {
      event.preventDefault();
      main.current.focus();
    }}>Skip to the page</a>
    <header class="side">
      <a class="brand" href="/"><svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" /><g><path d="M25 16a9 9 0 1 1-3.2-6.9" /><path d="M22.3 4.7v4.9h-4.9" /></g><circle cx="16" cy="16" r="2.6" /></svg>Flywheel</a>
      <nav aria-label="Pages"><ul>${shown().map((each) => html`<li key=${each.id}><a href=${each.href} aria-current=${each.id === found?.route.section ? "page" : undefined}>${each.label}</a></li>`)}</ul></nav>
      <div class="tools"><${ThemeButton} /><button type="button" class="quiet" onClick=${() => setKeys(true)}>Keys <kbd>?</kbd></button><a class="quiet" href="/docs">API</a></div>
    </header>
    <main id="main" ref=${main} tabindex="-1">${found ? html`<${Place} key=${found.route.path} ...${found} query=${query} />` : html`<${Nowhere} path=${path} />`}</main>
    ${keys && html`<${Keys} onClose=${() => setKeys(false)} />`}`;
}

// Sections whose page exists.
const shown = () => sections.filter((each) => routes.some((route) => route.section === each.id));

// The page of a route, once its module is there.
function Place({ route, params, query }) {
  const [page, setPage] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    route.load().then((module) => setPage(() => module.default), setError);
  }, [route]);
  if (error) {
    const old = { title: "This page is of an older version", status: 0, message: `Flywheel has been updated, or cannot be reached: ${error.message}` };
    return html`<${Problem} error=${old} retry=${() => location.reload()} />`;
  }
  return page ? html`<${page} params=${params} query=${query} />` : html`<${Loading} />`;
}

const Nowhere = ({ path }) => html`<div class="page"><h1>No such page</h1><${Empty} title=${`There is nothing at ${path}`}><a href="/runs">All runs</a></></div>`;

function ThemeButton() {
  const [now, setNow] = useState(theme());
  return html`<button type="button" class="quiet" onClick=${() => setNow(nextTheme())} title="System, light or dark">Theme: ${now}</button>`;
}

const Keys = ({ onClose }) => html`<${Dialog} title="Keys" onClose=${onClose}>
  <dl class="keys">${listed().map(({ label, keys }) => html`<${Fragment} key=${label}><dt>${keys.map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${label}</dd></>`)}</dl>
  <p class="soft">Tab goes through links and fields; Escape closes.</p>
</>`;
