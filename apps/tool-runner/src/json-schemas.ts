import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';

/** Dialects that tools are written in; what names none is taken for the newest. */
const draft7 = /^https?:\/\/json-schema\.org\/draft-07\/schema#?$/;
const draft2020 = /^https:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/;

const options = { strict: false, allErrors: false, logger: false } as const;
const ajv7 = new Ajv(options);
const ajv2020 = new Ajv2020(options);

/**
 * What is wrong with a JSON Schema; null: nothing. Only its form is judged, by its dialect's own
 * schema: nothing of it is compiled or fetched here.
 */
export function schemaError(schema: Readonly<Record<string, unknown>>): string | null {
  const { $schema: dialect } = schema;
  const isOld = typeof dialect === 'string' && draft7.test(dialect);
  const isNew = dialect === undefined || (typeof dialect === 'string' && draft2020.test(dialect));
  if (!isOld && !isNew) return 'must be of draft 2020-12 or draft-07, as its $schema says';
  const reference = foreignReference(schema);
  if (reference !== null) return `refers to ${reference.slice(0, 100)}, which is outside of it`;
  const pattern = badPattern(schema);
  if (pattern !== null) return `has a pattern that cannot be used: ${pattern.slice(0, 100)}`;
  const ajv = isOld ? ajv7 : ajv2020;
  const { $schema: _, ...rest } = schema;
  if (ajv.validateSchema(rest) === true) return null;
  const [error] = ajv.errors ?? [];
  return `is no valid JSON Schema: ${error?.instancePath ?? ''} ${error?.message ?? ''}`.trim();
}

/** A `$ref` that leads out of the schema: nothing is fetched to answer it. */
function foreignReference(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return null;
  for (const [key, member] of Object.entries(value)) {
    const isReference = key === '$ref' || key === '$dynamicRef';
    if (isReference && typeof member === 'string' && !member.startsWith('#')) return member;
    const inner = foreignReference(member);
    if (inner !== null) return inner;
  }
  return null;
}

/** A pattern that is none, or that no matcher takes which is linear in the text's length. */
function badPattern(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return null;
  const members: [string, unknown][] = Object.entries(value);
  for (const [key, member] of members) {
    const patterns =
      key === 'pattern' && typeof member === 'string'
        ? [member]
        : key === 'patternProperties' && typeof member === 'object' && member !== null
          ? Object.keys(member)
          : [];
    const bad = patterns.find((pattern) => !isPattern(pattern)) ?? badPattern(member);
    if (bad !== null) return bad;
  }
  return null;
}

function isPattern(text: string): boolean {
  try {
    RE2JS.compile(text);
    return true;
  } catch {
    return false;
  }
}
