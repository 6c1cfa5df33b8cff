// Fields of forms and filters, each with its label, its hint and its error.
import { html, useEffect, useState } from "../lib/ui.js";

let count = 0;

// One field: label above, hint and error below, tied to the control by aria-describedby.
export function Field({ label, hint, error, children: control }) {
  const id = useStable();
  const about = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  return html`<div class=${error ? "field wrong" : "field"}>
    <label for=${id}>${label}</label>
    ${control({ id, "aria-describedby": about, "aria-invalid": error ? "true" : undefined })}
    ${hint && html`<div class="hint" id=${`${id}-hint`}>${hint}</div>`}
    ${error && html`<div class="error" id=${`${id}-error`}>${error}</div>`}
  </div>`;
}

export const TextField = ({ label, hint, error, onInput, ...rest }) => html`<${Field} label=${label} hint=${hint} error=${error}>
  ${(ties) => html`<input type="text" autocomplete="off" spellcheck="false" ...${rest} ...${ties} onInput=${(event) => onInput(event.target.value)} />`}
</>`;

export const SelectField = ({ label, hint, error, options, value, onChange }) => html`<${Field} label=${label} hint=${hint} error=${error}>
  ${(ties) => html`<select ...${ties} value=${value} onChange=${(event) => onChange(event.target.value)}>${options.map(([each, text]) => html`<option value=${each} selected=${each === value}>${text}</option>`)}</select>`}
</>`;

export const AreaField = ({ label, hint, error, onInput, ...rest }) => html`<${Field} label=${label} hint=${hint} error=${error}>
  ${(ties) => html`<textarea rows="4" spellcheck="false" ...${rest} ...${ties} onInput=${(event) => onInput(event.target.value)}></textarea>`}
</>`;

// A search field: "/" comes here, and what is typed is told when the typing pauses.
export function Search({ label, value, onSearch, delay = 250 }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return undefined;
    const timer = setTimeout(() => onSearch(text), delay);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<${Field} label=${label}>
    ${(ties) => html`<input type="search" ...${ties} data-search value=${text} autocomplete="off" spellcheck="false" onInput=${(event) => setText(event.target.value)} />`}
  </>`;
}

function useStable() {
  const [id] = useState(() => `field-${(count += 1)}`);
  return id;
}
