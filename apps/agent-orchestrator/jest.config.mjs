import { jestProject } from '../../jest.preset.mjs';

/** In all: `npm run orders` tries a hundred thousand. */
const orders = Number(process.env.MILLRACE_EVENT_ORDERS ?? 1_000);

export default {
  ...jestProject('agent-orchestrator', import.meta.dirname),
  // How many orders of events the properties try, in each of their worlds.
  globals: {
    eventOrders: Math.ceil(orders * 0.5),
    documentOrders: Math.ceil(orders * 0.25),
    shellOrders: Math.ceil(orders * 0.25),
  },
};
