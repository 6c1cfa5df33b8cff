// Bundles every file of bundles/ into ../static/vendor, with a list of what is in them: names, versions, licences
// and hashes in vendor.json, the licences' texts in LICENSES.txt. Run it by `make vendor`; the result is committed.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";

const out = "../static/vendor";
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const packages = new Map();
const bundles = {};
for (const file of readdirSync("bundles").sort()) {
  const made = await build({
    entryPoints: [join("bundles", file)],
    outfile: join(out, file),
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    define: { "process.env.NODE_ENV": '"production"' },
    metafile: true,
  });
  const of = new Set();
  for (const path of Object.keys(made.metafile.inputs)) {
    const match = path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//);
    if (match) of.add(match[1]);
  }
  for (const name of of) packages.set(name, JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")));
  const content = readFileSync(join(out, file));
  const sha256 = createHash("sha256").update(content).digest("hex");
  bundles[file] = { bytes: content.length, sha256, packages: [...of].sort() };
}

const texts = [];
const listed = {};
for (const [name, about] of [...packages].sort(([a], [b]) => (a < b ? -1 : 1))) {
  const file = readdirSync(`node_modules/${name}`).find((each) => /^(licen[cs]e|copying)/i.test(each));
  if (!file || !about.license) throw new Error(`${name} has no licence`);
  listed[name] = { version: about.version, license: about.license };
  texts.push(`${name} ${about.version} (${about.license})\n\n${readFileSync(`node_modules/${name}/${file}`, "utf8").trim()}\n`);
}
writeFileSync(join(out, "LICENSES.txt"), texts.join(`\n${"-".repeat(79)}\n\n`));
writeFileSync(join(out, "vendor.json"), `${JSON.stringify({ bundles, packages: listed }, null, 1)}\n`);
const tests = "../../../../tests/dashboard/axe";
mkdirSync(tests, { recursive: true });
for (const file of ["axe.min.js", "LICENSE"]) copyFileSync(`node_modules/axe-core/${file}`, join(tests, basename(file)));
for (const [file, { bytes }] of Object.entries(bundles)) console.log(file.padEnd(12), (bytes / 1000).toFixed(1), "kB");
