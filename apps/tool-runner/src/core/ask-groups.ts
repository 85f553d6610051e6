interface ToolNames {
  readonly tenant: string;
  readonly names: readonly string[];
}

/**
 * Asks in their order, in groups of at most so many different tools: what one statement brings of
 * them is in memory at once. One that asks for more stands alone.
 */
export function askGroups<Ask extends ToolNames>(asks: readonly Ask[], toolsMax: number): Ask[][] {
  const groups: Ask[][] = [];
  let tools = new Set<string>();
  for (const ask of asks) {
    const asked = ask.names.map((name) => `${ask.tenant}/${name}`);
    const together = new Set([...tools, ...asked]);
    const group = groups.at(-1);
    if (group !== undefined && together.size <= toolsMax) {
      group.push(ask);
      tools = together;
    } else {
      groups.push([ask]);
      tools = new Set(asked);
    }
  }
  return groups;
}
