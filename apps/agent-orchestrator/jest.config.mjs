import { jestProject } from '../../jest.preset.mjs';

export default {
  ...jestProject('agent-orchestrator', import.meta.dirname),
  // How many orders of events the properties try; `npm run orders` tries a hundred thousand.
  globals: { eventOrders: Number(process.env.MILLRACE_EVENT_ORDERS ?? 500) },
};
