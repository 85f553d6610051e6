import { toolSubmissionSchema, type PayloadCodec } from '@millrace/contracts';
import type { Pool } from '@millrace/postgres';
import { LRUCache } from 'lru-cache';

import type { Tool } from '../core/tool.ts';
import { type ToolNames, Tools, type ToolVersionName } from '../ports.ts';

/** Bytes of tools that are kept at hand, by the length of what they are made of. */
const cachedBytesMax = 64 * 1024 * 1024;

export interface VersionRow {
  readonly tenant: string;
  readonly name: string;
  readonly version: number;
  readonly content: Buffer;
}

/** A version as it was registered. */
export function toolOfRow(row: VersionRow, codec: PayloadCodec): Tool {
  const { tenant, name, version } = row;
  const json = codec.decode(row.content, { tenant, medium: 'table' }).toString('utf8');
  return { tenant, name, version, content: toolSubmissionSchema.parse(JSON.parse(json)) };
}

/** Tools in Postgres. A version never changes, so that what was read once is kept. */
export class PostgresTools extends Tools {
  private readonly cache = new LRUCache<string, { readonly tool: Tool; readonly bytes: number }>({
    maxSize: cachedBytesMax,
    sizeCalculation: ({ bytes }) => bytes,
  });

  constructor(
    private readonly pool: Pool,
    private readonly codec: PayloadCodec,
  ) {
    super();
  }

  async versions(names: readonly ToolVersionName[]): Promise<(Tool | null)[]> {
    const unknown = names.filter((name) => !this.cache.has(keyOf(name)));
    const read = unknown.length === 0 ? [] : await this.read(unknown);
    // Not from the cache: one that is full may have dropped them again.
    const fresh = new Map(read.map((tool) => [keyOf(tool), tool]));
    return names.map((name) => {
      const key = keyOf(name);
      return fresh.get(key) ?? this.cache.get(key)?.tool ?? null;
    });
  }

  async current(asks: readonly ToolNames[]): Promise<Tool[][]> {
    // Many runs of a tenant ask for the same tools: each is read once.
    const wanted = new Map<string, { readonly tenant: string; readonly name: string }>();
    for (const { names, tenant } of asks) {
      for (const name of names) wanted.set(nameKeyOf({ tenant, name }), { tenant, name });
    }
    const pairs = [...wanted.values()];
    if (pairs.length === 0) return asks.map(() => []);
    const { rows } = await this.pool.query<VersionRow>({
      name: 'tools_current',
      text: `SELECT v.tenant, v.name, v.version, v.content
        FROM unnest($1::text[], $2::text[]) AS asked (tenant, name)
          JOIN tools.tools AS t USING (tenant, name)
          JOIN tools.tool_versions AS v USING (tenant, name, version)
        WHERE t.deleted_at IS NULL`,
      values: [pairs.map(({ tenant }) => tenant), pairs.map(({ name }) => name)],
    });
    const found = new Map(this.remember(rows).map((tool) => [nameKeyOf(tool), tool] as const));
    return asks.map(({ names, tenant }) =>
      names.flatMap((name) => found.get(nameKeyOf({ tenant, name })) ?? []),
    );
  }

  private async read(names: readonly ToolVersionName[]): Promise<Tool[]> {
    const { rows } = await this.pool.query<VersionRow>({
      name: 'tools_versions',
      text: `SELECT DISTINCT v.tenant, v.name, v.version, v.content
        FROM tools.tool_versions AS v
          JOIN unnest($1::text[], $2::text[], $3::int[]) AS asked (tenant, name, version)
            USING (tenant, name, version)`,
      values: [
        names.map(({ tenant }) => tenant),
        names.map(({ name }) => name),
        names.map(({ version }) => version),
      ],
    });
    return this.remember(rows);
  }

  private remember(rows: readonly VersionRow[]): Tool[] {
    return rows.map((row) => {
      const tool = toolOfRow(row, this.codec);
      this.cache.set(keyOf(tool), { tool, bytes: row.content.length });
      return tool;
    });
  }
}

function nameKeyOf({ tenant, name }: Pick<ToolVersionName, 'tenant' | 'name'>): string {
  return `${tenant}/${name}`;
}

function keyOf({ version, ...named }: ToolVersionName): string {
  return `${nameKeyOf(named)}/${version}`;
}
