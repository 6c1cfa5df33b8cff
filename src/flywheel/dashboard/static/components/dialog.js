// A modal <dialog>: the browser keeps the focus inside, and Escape closes it.
import { html, useEffect, useRef } from "../lib/ui.js";

export function Dialog({ title, onClose, children, actions }) {
  const own = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    own.current.showModal();
    own.current.querySelector(".body input, .body select, .body textarea, footer button")?.focus();
    return () => before?.focus?.();
  }, []);
  return html`<dialog ref=${own} aria-labelledby="dialog-title" onCancel=${(event) => {
    event.preventDefault();
    onClose();
  }}>
    <header><h2 id="dialog-title">${title}</h2><button type="button" class="icon" aria-label="Close" onClick=${onClose}>×</button></header>
    <div class="body">${children}</div>
    ${actions && html`<footer>${actions}</footer>`}
  </dialog>`;
}

// A question before something that cannot be undone.
export function Confirm({ title, children, yes, busy, error, onYes, onClose }) {
  return html`<${Dialog} title=${title} onClose=${onClose} actions=${html`
    <button type="button" class="button" onClick=${onClose}>Keep it</button>
    <button type="button" class="button danger" disabled=${busy} onClick=${onYes}>${yes}</button>`}>
    ${children}
    ${error && html`<p class="error" role="alert">${error.message}</p>`}
  </>`;
}
