import { defineTool, type WorkerTool } from '@millrace/sdk';
import { z } from 'zod';

/**
 * A tool of users' own workers: it hands what it is asked to the story's server of tools, and gives
 * back what that says, with the name of the worker that had the call.
 */
export function stampTool({ worker, server }: { worker: string; server: string }): WorkerTool {
  return defineTool({
    name: 'stamp',
    description: 'stamps a number',
    input: z.object({ n: z.int() }),
    effect: 'read',
    timeoutSeconds: 120,
    run: async ({ n }, { attempt, callId, jobId, signal }) => {
      const body = { call_id: callId, job_id: jobId, arguments: { n, attempt } };
      const response = await fetch(`${server}${worker}`, {
        method: 'POST',
        headers: { 'idempotency-key': callId },
        body: JSON.stringify(body),
        signal,
      });
      return { stamped: n, by: worker, said: await response.json() };
    },
  });
}
