// A run's document, read for its page: systems, marks, failures and speeds, wherever they are told. As in the HTML report.

const ROLES = { "base-eval": "base", "teacher-eval": "ceiling" };

// [[system's name, evaluation], …], the teacher's last.
export function evaluations(job) {
  const found = (job.nims ?? []).flatMap((nim) => (nim.evaluations ?? []).map((each) => [`${nim.model_name} ${each.eval_type}`, each]));
  return job.teacher ? [...found, ["teacher", job.teacher]] : found;
}

// The systems that are compared: the table's, or what the evaluator said of the deciding score.
export function systems(job) {
  const { decision } = job;
  if (decision?.table?.systems) return decision.table.systems;
  return evaluations(job).flatMap(([name, each]) => {
    const score = each.score_details?.[decision?.metric];
    const interval = score?.confidence_interval;
    if (!interval || interval.high > 1 || interval.low < 0) return [];
    return [{ name, role: ROLES[each.eval_type] ?? "candidate", value: score.value, interval, n: score.n }];
  });
}

// A letter for each system, which stands for its name where names would not fit.
export function marks(job) {
  const names = [...new Set([...(job.decision?.table?.systems ?? []).map((each) => each.name), ...evaluations(job).map(([name]) => name)])];
  return Object.fromEntries(names.map((name, at) => [name, String.fromCharCode(65 + (at % 26)) + (at >= 26 ? Math.floor(at / 26) : "")]));
}

// {system: {class: count}} and the classes, the most frequent first.
export function failures(job) {
  const table = job.decision?.table?.systems;
  const of = Object.fromEntries(table ? table.map((each) => [each.name, each.failures ?? {}])
    : evaluations(job).filter(([, each]) => Object.keys(each.scores ?? {}).length).map(([name, each]) => [name, each.failures ?? {}]));
  const sums = {};
  for (const counts of Object.values(of)) for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
  return { of, classes: Object.keys(sums).sort((a, b) => sums[b] - sums[a] || (a < b ? -1 : 1)) };
}

// [{name, mark, latency, usage, cost}] of the systems of which anything is known.
export function speeds(job, letters) {
  const { cost } = job.decision ?? {};
  const amounts = { teacher: cost?.teacher, ...cost?.systems };
  const measured = Object.fromEntries(evaluations(job));
  return Object.entries(letters).map(([name, mark]) => ({
    name, mark, latency: measured[name]?.latency_ms ?? {}, usage: measured[name]?.usage ?? {}, cost: amounts[name],
  })).filter((each) => Object.keys(each.latency).length || each.cost !== undefined);
}

// [[axis, entries], …], tools first; of the tools the most records first, and small slices last.
export function slices(job) {
  const axes = new Map();
  for (const entry of job.decision?.table?.slices ?? []) axes.set(entry.axis, [...(axes.get(entry.axis) ?? []), entry]);
  axes.get("tool")?.sort((a, b) => a.small - b.small || b.records - a.records || (a.label < b.label ? -1 : 1));
  return [...axes].sort(([a], [b]) => (b === "tool") - (a === "tool"));
}

export const chosen = (job) => (job.decision ? `${job.decision.model_name} ${job.decision.eval_type}` : null);

// Curves of the API's two spellings, pairs in events and objects in /losses, as objects.
export const curves = (losses) => (losses ?? []).map((each) => ({ ...each, train: points(each.train), val: points(each.val) }));
const points = (list) => (list ?? []).map((each) => (Array.isArray(each) ? { step: each[0], value: each[1] } : each));
