// A plot by Observable Plot, which is loaded when the first one is shown. A plot says the same as the table beside it,
// so it is one image for who cannot see it: its title and its description.
//
// `draw(Plot, width)` gives what Plot.plot takes; colours are the page's custom properties ("var(--c0)"), so that a
// change of theme needs no new drawing. `over` are the values that it is drawn from: it is drawn again when they change.
import { html, useEffect, useRef, useState } from "../lib/ui.js";

let library = null;
const loaded = () => (library ??= import("../vendor/plot.js"));

export function Chart({ title, description, draw, over, height = 240, caption }) {
  const box = useRef(null);
  const width = useWidth(box);
  const [error, setError] = useState(null);
  useEffect(() => {
    if (!width) return undefined;
    let wanted = true;
    loaded().then((Plot) => {
      if (!wanted) return;
      const svg = Plot.plot({ width, height, marginTop: 14, className: "plot", style: { background: "none" }, ...draw(Plot, width) });
      for (const part of svg.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label"); // Parts of an image.
      for (const [name, value] of [["role", "img"], ["aria-label", `${title}. ${description}`]]) svg.setAttribute(name, value);
      box.current.replaceChildren(svg);
      setError(null);
    }).catch((problem) => wanted && setError(problem));
    return () => {
      wanted = false;
    };
  }, [width, over, height]);
  return html`<figure class="chart">
    <figcaption><strong>${title}</strong>${caption && html` <span class="soft">${caption}</span>`}</figcaption>
    ${error && html`<p class="error" role="alert">This plot could not be drawn: ${error.message}</p>`}
    <div ref=${box} style=${{ minHeight: `${height}px` }}></div>
  </figure>`;
}

function useWidth(box) {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  return width;
}
