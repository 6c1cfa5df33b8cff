// The public API: one function per method, errors as ApiError with what the server said.

const TIMEOUT_MS = 30_000;

export class ApiError extends Error {
  // status 0: there was no answer. `problems` are those of a body or a query that could not be read: [{loc, msg}].
  // `code` is one word for the kind of error, "unknown_workload".
  constructor(status, title, detail, code = "") {
    const problems = Array.isArray(detail) ? detail : [];
    super(problems.length ? problems.map((each) => `${where(each.loc)}: ${each.msg}`).join("\n") : String(detail));
    this.status = status;
    this.title = title;
    this.code = code;
    this.problems = problems;
  }
}

export const get = (path, query, { signal } = {}) => call("GET", address(path, query), undefined, {}, signal);
export const post = (path, body, headers = {}) => call("POST", path, body, headers);
export const patch = (path, body) => call("PATCH", path, body);
export const del = (path) => call("DELETE", path);

// A path with a query; empty values are left out.
export function address(path, query = {}) {
  const asked = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null),
  );
  return asked.size ? `${path}?${asked}` : path;
}

// Path segments, each encoded: segments("api", "models", "a/b") is /api/models/a%2Fb.
export const segments = (...parts) => `/${parts.map((part) => encodeURIComponent(String(part).toWellFormed())).join("/")}`;

async function call(method, path, body, headers = {}, signal) {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const asked = { method, headers: { Accept: "application/json", ...headers }, signal: signal ? AbortSignal.any([signal, limit]) : limit };
  if (body !== undefined) {
    asked.headers["Content-Type"] = "application/json";
    asked.body = JSON.stringify(body);
  }
  let response;
  let text;
  try {
    response = await fetch(path, asked);
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (error.name === "TimeoutError") throw new ApiError(0, "no answer", `${path} did not answer in ${TIMEOUT_MS / 1000} s`);
    throw new ApiError(0, "no connection", "The server cannot be reached. Is `flywheel serve` running?");
  }
  const answer = parsed(text);
  if (response.ok) {
    if (answer === undefined) throw new ApiError(response.status, "no JSON", `${path} answered with something that is not JSON`);
    return answer;
  }
  throw new ApiError(response.status, answer?.title ?? response.statusText, answer?.detail ?? `${path} answered ${response.status}`, answer?.code);
}

function parsed(text) {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function where(loc = []) {
  const [from, ...rest] = loc;
  return (["body", "query", "path", "header"].includes(from) ? rest : loc).join(".") || String(from);
}
