// Which page is at which address. A segment with ":" is a parameter; it comes decoded to the page. `section` is the
// entry of the navigation that is lit. A page's module is loaded when it is first opened; its default export is a
// component that gets {params, query}.

export const sections = [
  { id: "workloads", label: "Workloads", href: "/workloads" },
  { id: "runs", label: "Runs", href: "/runs" },
  { id: "compare", label: "Compare", href: "/compare" },
  { id: "models", label: "Models", href: "/models" },
  { id: "datasets", label: "Datasets", href: "/datasets" },
  { id: "schedules", label: "Schedules", href: "/schedules" },
  { id: "health", label: "Health", href: "/health" },
];

export const routes = [
  { path: "/", section: "runs", load: () => import("../pages/runs.js") },
  { path: "/runs", section: "runs", load: () => import("../pages/runs.js") },
  { path: "/runs/:id/samples", section: "runs", load: () => import("../pages/samples.js") },
  { path: "/runs/:id/samples/:key", section: "runs", load: () => import("../pages/sample.js") },
  { path: "/runs/:id", section: "runs", load: () => import("../pages/run.js") },
  { path: "/workloads", section: "workloads", load: () => import("../pages/workloads.js") },
  { path: "/workloads/:client_id/:workload_id", section: "workloads", load: () => import("../pages/workload.js") },
  { path: "/compare", section: "compare", load: () => import("../pages/compare.js") },
  { path: "/models", section: "models", load: () => import("../pages/models.js") },
  { path: "/models/:name", section: "models", load: () => import("../pages/model.js") },
  { path: "/datasets", section: "datasets", load: () => import("../pages/datasets.js") },
  { path: "/datasets/:name", section: "datasets", load: () => import("../pages/dataset.js") },
  { path: "/schedules", section: "schedules", load: () => import("../pages/schedules.js") },
  { path: "/schedules/:id", section: "schedules", load: () => import("../pages/schedule.js") },
  { path: "/health", section: "health", load: () => import("../pages/health.js") },
];

// The route of a path with its parameters, or null. Parameters are decoded after splitting, so they may hold slashes.
export function match(path) {
  const parts = path.replace(/\/+$/, "").split("/");
  for (const route of routes) {
    const wanted = route.path.replace(/\/+$/, "").split("/");
    if (wanted.length !== parts.length) continue;
    const params = {};
    const fits = wanted.every((want, at) => {
      if (!want.startsWith(":")) return want === parts[at];
      params[want.slice(1)] = decoded(parts[at]);
      return parts[at] !== "";
    });
    if (fits) return { route, params };
  }
  return null;
}

// `path` with its parameters filled in and a query: to("/runs/:id", {id}, {tool: "x"}). Empty values are left out.
export function to(path, params = {}, query = {}) {
  const filled = path.replace(/:(\w+)/g, (_, name) => encoded(params[name]));
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value != null));
  return asked.size ? `${filled}?${asked}` : filled;
}

// Halves of surrogate pairs, which text of models may hold, cannot be encoded; they are replaced.
const encoded = (text) => encodeURIComponent(String(text).toWellFormed());

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
