// Rules of ours for api/openapi.yaml. Each says what to do.

const problem = "application/problem+json";

// An empty text explains as little as none.
const isText = (text) => typeof text === "string" && text.trim() !== "";

// operationIds become method names, tags become groups of them, and everything
// that people read about is explained.
const described = () => ({
  Operation(operation, { report, location }) {
    if (operation.operationId && !/^[a-z][A-Za-z0-9]*$/.test(operation.operationId)) {
      report({ message: `operationId ${operation.operationId} isn't camelCase`, location: location.child("operationId") });
    }
    if (operation.tags?.length !== 1) {
      report({ message: `${operation.operationId} has not exactly one tag: tags group the documentation and the handlers`, location });
    }
  },
  NamedSchemas: {
    Schema(schema, { report, location, key }) {
      if (!isText(schema.description)) {
        report({ message: `the schema ${key} has no description: say what it is`, location });
      }
      if (schema.example === undefined) {
        report({ message: `the schema ${key} has no example: give one`, location });
      }
    },
  },
  SchemaProperties(properties, { report, location }) {
    for (const [name, schema] of Object.entries(properties)) {
      if (schema.$ref === undefined && !isText(schema.description)) {
        report({ message: `the property ${name} has no description: say what it is`, location: location.child(name) });
      }
    }
  },
});

// What is sent and what comes back can be seen without trying.
const examples = () => {
  const check = (content, what, report, location) => {
    for (const [type, media] of Object.entries(content ?? {})) {
      if (media.example === undefined && media.examples === undefined) {
        report({ message: `${what} ${type} has no example: give one`, location: location.child(["content", type]) });
      }
    }
  };
  return {
    RequestBody(body, { report, location }) {
      check(body.content, "the request body", report, location);
    },
    Response(response, { report, location }) {
      check(response.content, "the response", report, location);
    },
  };
};

// Every failure that an operation can have is documented, and is a problem.
const errors = () => ({
  Operation: {
    leave(operation, { report, location, resolve }) {
      const wanted = ["500"];
      if (operation.requestBody !== undefined) {
        wanted.push("400", "408", "413", "415", "422");
      }
      const tags = operation.tags ?? [];
      if (tags.some((tag) => tag !== "operations" && tag !== "documentation")) {
        // These ask the database, and the rate limit stands before them.
        wanted.push("429", "503");
      }
      for (const status of wanted) {
        if (operation.responses?.[status] === undefined) {
          report({ message: `${operation.operationId} doesn't document the answer ${status}`, location: location.child("responses") });
        }
      }
      for (const [status, response] of Object.entries(operation.responses ?? {})) {
        const { node } = resolve(response);
        const content = Object.keys(node?.content ?? {});
        const isHealth = operation.operationId === "getReadiness" && status === "503";
        if (/^([45]|default)/.test(status) && !isHealth && content.join() !== problem) {
          report({ message: `the answer ${status} of ${operation.operationId} isn't ${problem} and nothing else`, location: location.child(["responses", status]) });
        }
      }
    },
  },
});

// Numbers that stand for something tell nobody what, and generators make nameless
// constants of them.
const enums = () => ({
  Schema(schema, { report, location }) {
    if (schema.enum !== undefined && !schema.enum.every((value) => typeof value === "string")) {
      report({ message: "an enum has a value that isn't a string: give it a name", location: location.child("enum") });
    }
  },
});

const version = () => ({
  Root(root, { report, location }) {
    if (!/^3\.0\./.test(root.openapi)) {
      report({ message: `openapi is ${root.openapi}: stay with 3.0, the schemas of a 3.1 document are compiled for every request`, location: location.child("openapi") });
    }
    for (const server of root.servers ?? []) {
      if (server.url !== "/") {
        report({ message: `the server ${server.url}: only / is true for everyone`, location: location.child("servers") });
      }
    }
  },
});

// Components that nothing refers to are left over. Security schemes are referred to
// by their names.
// Any path can give the answers of the first line, for methods that are no operations; the
// tests hold those answers to them.
const used = () => {
  const referred = new Set(["#/components/responses/MethodNotAllowed", "#/components/responses/Preflight"]);
  return {
    SecurityRequirement(requirement) {
      for (const name of Object.keys(requirement)) {
        referred.add(`#/components/securitySchemes/${name}`);
      }
    },
    ref: {
      enter(node) {
        referred.add(node.$ref);
      },
    },
    Root: {
      leave(root, { report, location }) {
        for (const [kind, components] of Object.entries(root.components ?? {})) {
          for (const name of Object.keys(components)) {
            const pointer = `#/components/${kind}/${name}`;
            if (!referred.has(pointer)) {
              report({ message: `${pointer} is not used: take it out`, location: location.child(["components", kind, name]) });
            }
          }
        }
      },
    },
  };
};

export default function contractPlugin() {
  return { id: "contract", rules: { oas3: { described, enums, examples, errors, version, used } } };
}
