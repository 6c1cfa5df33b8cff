// What a page shows, from the API: loading, then data or an error, and again on demand.
import { useCallback, useEffect, useRef, useState } from "./ui.js";
import { get } from "./api.js";

// {data, error, loading, reload, put}: the answer of `path` with `query`. While a new one is under way the old data
// stay (`loading` is true), so that pages do not flicker. A null path loads nothing. `put` replaces the data by hand.
export function useApi(path, query = {}) {
  const key = path && JSON.stringify([path, query]);
  const [state, setState] = useState({ key: null });
  const [tries, setTries] = useState(0);
  const latest = useRef(key);
  latest.current = key;
  useEffect(() => {
    if (!path) return undefined;
    const ends = new AbortController();
    setState((old) => ({ ...old, loading: true }));
    get(path, query, { signal: ends.signal }).then(
      (data) => setState({ key, data, loading: false }),
      (error) => ends.signal.aborted || setState((old) => ({ key, data: old.key === key ? old.data : undefined, error, loading: false })),
    );
    return () => ends.abort();
  }, [key, tries]);
  const reload = useCallback(() => setTries((count) => count + 1), []);
  const put = useCallback((change) => setState((old) => (old.data ? { ...old, data: change(old.data) } : old)), []);
  return { data: state.data, error: state.error, loading: !state.key || state.loading, stale: state.key !== key, reload, put };
}

// Draws the component again every second while `wanted`, for durations that grow.
export function useTicking(wanted) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!wanted) return undefined;
    const timer = setInterval(() => tick((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, [wanted]);
}

// An action that a button starts: [run, {busy, error}]. `run` gives the answer, or undefined where it failed.
export function useAction(action) {
  const [state, setState] = useState({ busy: false, error: null });
  const run = async (...given) => {
    setState({ busy: true, error: null });
    try {
      const answer = await action(...given);
      setState({ busy: false, error: null });
      return answer;
    } catch (error) {
      setState({ busy: false, error });
      return undefined;
    }
  };
  return [run, state];
}
