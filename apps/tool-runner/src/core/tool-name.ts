import {
  ownToolNames,
  toolNameSchema,
  toolServerSeparator as separator,
} from '@millrace/contracts';

/** What is wrong with a name that a tool is to be registered under; null: nothing. */
export function toolNameError(name: string): string | null {
  const parsed = toolNameSchema.safeParse(name);
  if (!parsed.success) return parsed.error.issues[0]?.message ?? 'is no name of a tool';
  if (ownToolNames.has(name)) return 'is a name of the run itself';
  // It separates a server from its tool, and must do so in one way only.
  if (name.includes(separator)) return `must not have ${separator} in it`;
  return name.endsWith('_') ? 'must not end in _' : null;
}

/** A name as runs use it: a registered tool, or one of the tools of a registered MCP server. */
export interface ToolName {
  readonly registered: string;
  /** Of the server; null for a name that is registered itself. */
  readonly inner: string | null;
}

export function parseToolName(name: string): ToolName {
  const at = name.indexOf(separator);
  if (at <= 0) return { registered: name, inner: null };
  return { registered: name.slice(0, at), inner: name.slice(at + separator.length) };
}

/** The name of a server's tool; null when the Messages API would not take it. */
export function innerToolName(server: string, inner: string): string | null {
  const name = `${server}${separator}${inner}`;
  return toolNameSchema.safeParse(name).success ? name : null;
}
