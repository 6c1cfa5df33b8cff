// Where in a long list we are, with the way to the next and the former page. The place is in the address.
import { html } from "../lib/ui.js";
import { number } from "../lib/words.js";
import { setQuery } from "../lib/address.js";

export function Pager({ offset = 0, limit, total, what }) {
  const last = Math.min(total, offset + limit);
  const step = (to) => () => setQuery({ offset: Math.max(0, to) }, { replace: false });
  return html`<nav class="pager" aria-label=${`Pages of ${what}`}>
    <span class="soft n">${total ? `${number(offset + 1)}–${number(last)} of ${number(total)} ${what}` : `no ${what}`}</span>
    ${total > limit && html`<span class="group">
      <button type="button" class="button" disabled=${offset <= 0} onClick=${step(offset - limit)}>Previous</button>
      <button type="button" class="button" disabled=${last >= total} onClick=${step(offset + limit)}>Next</button>
    </span>`}
  </nav>`;
}
