// Server-sent events, with a fallback: where the stream is refused or breaks three times, `poll` is called every few
// seconds instead. Nothing is open while the page is hidden; on its return `poll` catches up with what was missed.
import { useEffect, useRef, useState } from "./ui.js";

const POLL_MS = 5_000;
const TRIES = 3;

// useLive("/api/events", {run: (data) => …}, poll): "live", "polling", "ended", "connecting" or "off" (null address).
export function useLive(address, handlers, poll) {
  const [state, setState] = useState("connecting");
  const now = useRef({});
  now.current = { handlers, poll };
  useEffect(() => {
    if (!address) {
      setState("off");
      return undefined;
    }
    let source = null;
    let timer = null;
    let broken = 0;
    let ended = false;
    const close = () => {
      source?.close();
      clearInterval(timer);
      source = timer = null;
    };
    const fallBack = () => {
      close();
      setState("polling");
      timer = setInterval(() => now.current.poll?.(), POLL_MS);
    };
    const open = () => {
      if (source || timer || ended || document.hidden) return;
      source = new EventSource(address);
      source.onopen = () => {
        broken = 0;
        setState("live");
      };
      source.onerror = () => {
        broken += 1;
        if (source?.readyState === EventSource.CLOSED || broken >= TRIES) fallBack();
      };
      for (const name of Object.keys(now.current.handlers)) {
        source.addEventListener(name, (event) => now.current.handlers[name]?.(JSON.parse(event.data)));
      }
      source.addEventListener("end", () => {
        ended = true;
        close();
        setState("ended");
        now.current.poll?.();
      });
    };
    const seen = () => {
      if (document.hidden) close();
      else {
        now.current.poll?.();
        open();
      }
    };
    open();
    document.addEventListener("visibilitychange", seen);
    return () => {
      document.removeEventListener("visibilitychange", seen);
      close();
    };
  }, [address]);
  return state;
}
