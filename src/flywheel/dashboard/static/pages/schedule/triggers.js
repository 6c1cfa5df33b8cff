// What starts a run, in words, and the fields that each kind of trigger has.
import { duration, number } from "../../lib/words.js";

const OF = { tools: "the tool mix", arguments: "the tools' argument values" };

export function said(trigger) {
  switch (trigger.type) {
    case "cron": return `at ${trigger.cron} (${trigger.timezone ?? "UTC"})`;
    case "records": return `after ${number(trigger.every)} new records`;
    case "drift": return `when ${OF[trigger.of] ?? trigger.of} drifts${trigger.threshold ? ` by ${trigger.threshold}` : ""}`;
    case "schemas": return "when a tool's schema changes";
    case "candidates": return "when there is a new candidate";
    default: return trigger.type;
  }
}

export const budget = ({ runs_per_week: runs, gpu_hours_per_week: hours } = {}) => [runs && `${number(runs)} runs`, hours && `${number(hours)} GPU hours`].filter(Boolean).join(", ") || "none";

export const pause = (seconds) => (seconds ? duration(seconds) : "none");

// Kind, label, a fresh one.
export const KINDS = [
  ["cron", "At times of the clock", () => ({ type: "cron", cron: "0 3 * * *", timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC" })],
  ["records", "After so many new records", () => ({ type: "records", every: 5000 })],
  ["drift", "When the traffic drifts", () => ({ type: "drift", of: "tools" })],
  ["schemas", "When a tool's schema changes", () => ({ type: "schemas" })],
  ["candidates", "When there is a new candidate", () => ({ type: "candidates" })],
];
