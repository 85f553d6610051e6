/** DBOS Transact: workflows in this process, each step a row in the Postgres of the bench. */
import { DBOS } from '@dbos-inc/dbos-sdk';

import { runAgent } from './agent.mjs';
import { servePeer, settings } from './served-peer.mjs';

async function start() {
  const url = new URL(settings.postgresUrl);
  url.pathname = '/peer_dbos';
  DBOS.setConfig({ name: 'bench', systemDatabaseUrl: url.href, logLevel: 'error' });
  const agent = DBOS.registerWorkflow(
    () => runAgent((name, work) => DBOS.runStep(work, { name })),
    { name: 'agent' },
  );
  await DBOS.launch();
  return async (workflowID) => {
    const handle = await DBOS.startWorkflow(agent, { workflowID })();
    await handle.getResult();
  };
}

await servePeer(start);
