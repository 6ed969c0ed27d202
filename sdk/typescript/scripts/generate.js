// Writes src/contract.gen.ts, the contract's types.
import { writeFileSync } from "node:fs";

import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const contract = new URL("../../../api/openapi.yaml", import.meta.url);
const output = new URL("../src/contract.gen.ts", import.meta.url);

const types = await openapiTS(contract, {
  transform(_, { path }) {
    // Any JSON value contains others like itself, which a type of an object's member can't say.
    if (path === "#/components/schemas/JSONValue") return ts.factory.createKeywordTypeNode(ts.SyntaxKind.UnknownKeyword);
    return undefined;
  },
});
writeFileSync(
  output,
  `// Generated from api/openapi.yaml by scripts/generate.js: change the contract and run "make generate".\n\n${astToString(types)}`,
);
