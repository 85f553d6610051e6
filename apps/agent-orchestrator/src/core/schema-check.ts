import { compileSchema, draft2020, extendDraft } from 'json-schema-library';
import type { Keyword, SchemaNode } from 'json-schema-library';
import { RE2JS } from 're2js';

/**
 * Checks values of models and tools against schemas of users: neither may cost more than its
 * length. So nothing is compiled to code, nothing is fetched, and patterns are matched in linear
 * time. `format` says nothing about validity, as the standard has it.
 */
export function schemaErrors(schema: object, value: unknown): readonly string[] {
  try {
    const { valid, errors } = compiled(schema).validate(value);
    return valid ? [] : errors.slice(0, errorsTold).map(({ message }) => String(message));
  } catch {
    // A pattern that is none, or a schema that refers to itself for ever.
    return ['the schema itself cannot be used'];
  }
}

/** Errors that are told: the first ones say what is wrong, the rest costs the model tokens. */
const errorsTold = 5;

/** Compiled schemas by their text: a run's own are needed with each of its calls. */
const compiledKept = 256;
const compiledByText = new Map<string, SchemaNode>();

function compiled(schema: object): SchemaNode {
  const text = JSON.stringify(schema);
  const known = compiledByText.get(text);
  if (known) return known;
  const node = compileSchema(schema, { drafts: [draft] });
  const oldest = compiledByText.keys().next();
  if (compiledByText.size >= compiledKept && !oldest.done) compiledByText.delete(oldest.value);
  compiledByText.set(text, node);
  return node;
}

/** A pattern that is matched in a time linear in the text's length, whatever it says. */
class LinearPattern extends RegExp {
  readonly #pattern: RE2JS;

  constructor(source: string) {
    super('');
    this.#pattern = RE2JS.compile(source);
  }

  override test(text: string): boolean {
    return this.#pattern.matcher(text).find();
  }
}

const draft = extendDraft(draft2020, {
  $schemaRegEx: '',
  keywords: draft2020.keywords.map(harmless),
});

function harmless(keyword: Keyword): Keyword {
  if (keyword.keyword === 'format') return { ...keyword, addValidate: () => false };
  if (keyword.keyword === 'pattern') return { ...keyword, parse: parsePattern };
  if (keyword.keyword !== 'patternProperties') return keyword;
  return {
    ...keyword,
    parse: (node) => {
      const found = keyword.parse?.(node);
      for (const property of node.patternProperties ?? []) {
        property.pattern = new LinearPattern(property.name);
      }
      return found;
    },
  };
}

function parsePattern(node: SchemaNode): void {
  const pattern: unknown = node.schema['pattern'];
  if (typeof pattern === 'string') node.pattern = new LinearPattern(pattern);
}
