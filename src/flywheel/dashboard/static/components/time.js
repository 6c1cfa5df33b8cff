// A moment: how long ago, with the exact time in its title.
import { html } from "../lib/ui.js";
import { DASH, ago, moment, stamp } from "../lib/words.js";

export function Time({ at, exact = false }) {
  const date = moment(at);
  if (!date) return DASH;
  return html`<time datetime=${date.toISOString()} title=${exact ? ago(at) : stamp(at)}>${exact ? stamp(at) : ago(at)}</time>`;
}
