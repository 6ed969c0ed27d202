// Fails when something public has no documentation, or a program of GETTING_STARTED.md doesn't agree with the types.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import ts from "typescript";

const folder = fileURLToPath(new URL("..", import.meta.url));
const complaints = [...undocumented(), ...snippetErrors()];
for (const complaint of complaints) console.error(`lint: ${complaint}`);
process.exitCode = complaints.length > 0 ? 1 : 0;

// undocumented lists what users see in their editors without a word about it. What is generated has the contract's words.
function undocumented() {
  const { config } = ts.readConfigFile(join(folder, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder);
  const program = ts.createProgram([join(folder, "src/index.ts"), join(folder, "src/node.ts")], options);
  const checker = program.getTypeChecker();
  const found = new Set();
  const check = (symbol, name) => {
    const declaration = symbol.declarations[0];
    const file = declaration.getSourceFile();
    if (!file.fileName.startsWith(join(folder, "src")) || file.fileName.endsWith(".gen.ts")) return;
    const signatures = checker.getTypeOfSymbolAtLocation(symbol, declaration).getCallSignatures();
    const words = [symbol, ...signatures].flatMap((said) => said.getDocumentationComment(checker));
    if (words.length === 0) found.add(`${relative(folder, file.fileName)}: ${name} has no documentation`);
  };
  for (const root of program.getRootFileNames()) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(root));
    for (const exported of checker.getExportsOfModule(module)) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
      check(symbol, symbol.name);
      for (const [, member] of symbol.members ?? []) {
        const hidden = member.name.startsWith("__#") || ts.isPrivateIdentifier(member.valueDeclaration?.name ?? member) || member.flags & ts.SymbolFlags.TypeParameter;
        if (!hidden) check(member, `${symbol.name}.${member.name === "__constructor" ? "constructor" : member.name}`);
      }
    }
  }
  return found;
}

// snippetErrors checks the programs as TypeScript does in an editor. The package imports itself by its name.
function snippetErrors() {
  const page = readFileSync(join(folder, "GETTING_STARTED.md"), "utf8");
  const work = join(folder, ".out/snippets");
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const files = [];
  for (const [, name, text] of page.matchAll(/^```js (\S+)\n(.*?)^```$/gms)) {
    files.push(join(work, name));
    writeFileSync(files.at(-1), text);
  }
  if (files.length === 0) return ["GETTING_STARTED.md has no programs"];
  const program = ts.createProgram(files, {
    allowJs: true, checkJs: true, noEmit: true, strict: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext, lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
  });
  return ts.getPreEmitDiagnostics(program).map(
    ({ file, messageText }) => `GETTING_STARTED.md: ${file === undefined ? "" : relative(work, file.fileName)}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`,
  );
}
