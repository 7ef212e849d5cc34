// Writes tools/faker_js.json: the names that @faker-js/faker (MIT) has, by language.
//
//     npm install @faker-js/faker && node tools/faker_js.mjs
import { allLocales } from "@faker-js/faker";
import { writeFileSync } from "node:fs";

const flat = (value) =>
  typeof value === "string" ? [value] : Object.values(value ?? {}).flatMap(flat);
const found = { given: {}, surnames: {} };
for (const [locale, { person }] of Object.entries(allLocales)) {
  const language = locale.split("_")[0];
  for (const [kind, lists] of [
    ["given", [person?.first_name, person?.middle_name]],
    ["surnames", [person?.last_name]],
  ]) {
    const names = lists.flatMap(flat).flatMap((name) => name.toLowerCase().split(/[\s-]+/u));
    found[kind][language] = [...new Set([...(found[kind][language] ?? []), ...names])].sort();
  }
}
for (const kind of Object.values(found)) {
  for (const language of Object.keys(kind)) kind[language] = kind[language].join(" ");
}
writeFileSync(new URL("faker_js.json", import.meta.url), JSON.stringify(found, null, 1) + "\n");
