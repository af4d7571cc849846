// Applies PATCH operations with the npm package scim-patch. CASES is a file with a JSON list of {resource, operations}.
// Prints a JSON list of the resources afterwards; null where the package refuses the operations.
import { readFileSync } from "node:fs";
import scim from "scim-patch";

const cases = JSON.parse(readFileSync(process.env.CASES, "utf8"));
const results = cases.map(({ resource, operations }) => {
  try {
    scim.patchBodyValidation({ schemas: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], Operations: operations });
    return scim.scimPatch(resource, operations);
  } catch {
    return null;
  }
});
console.log(JSON.stringify(results));
