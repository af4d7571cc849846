// Reads a list of bills of materials in JSON from standard input and prints, in a line for each, how it breaks the schema
// of CycloneDX 1.6. The package contains the schemas, so that nothing is loaded from elsewhere.
import { readFileSync } from "node:fs";
import { Spec, Validation } from "@cyclonedx/cyclonedx-library";

const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
for (const bill of JSON.parse(readFileSync(0, "utf8"))) {
  const faults = await validator.validate(JSON.stringify(bill));
  console.log(faults === null ? "" : JSON.stringify(faults));
}
