import type pg from 'pg';

interface PlanNode {
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** How one statement finds rows of one partition. */
export interface Lookup {
  /** The partition. */
  readonly table: string;
  /** Undefined: the partition is read from end to end. */
  readonly index: string | undefined;
  /** What is looked for in the index, as the plan says it. */
  readonly condition: string;
}

/**
 * How the kept plan of a statement finds rows of a daily table. Asked of a database whose days are
 * empty, as tomorrow is when its plan is made: all indexes cost the planner the same then.
 * @param table with neither schema nor day
 */
export async function lookupsOf(
  pool: pg.Pool,
  text: string,
  table: string,
): Promise<readonly Lookup[]> {
  const { rows } = await pool.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
    `EXPLAIN (GENERIC_PLAN, FORMAT JSON) ${text}`,
  );
  const isPartition = new RegExp(`^${table}_([0-9]{8}|default)$`);
  return rows
    .flatMap((row) => row['QUERY PLAN'])
    .flatMap(({ Plan: plan }) => nodesOf(plan))
    .flatMap((node): Lookup[] => {
      const name = node['Relation Name'] ?? '';
      const isScan = node.Plans === undefined && isPartition.test(name);
      if (!isScan) return [];
      return [{ table: name, index: node['Index Name'], condition: node['Index Cond'] ?? '' }];
    });
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}
