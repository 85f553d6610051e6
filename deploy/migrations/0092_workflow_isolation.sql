-- Up Migration

SELECT millrace_isolate_tenants('orchestrator.workflows');
SELECT millrace_isolate_tenants('orchestrator.journal');
SELECT millrace_isolate_tenants('orchestrator.timers');
SELECT millrace_isolate_tenants('orchestrator.parked_events');
GRANT SELECT ON orchestrator.workflows, orchestrator.journal, orchestrator.timers
  TO agent_orchestrator_api;

-- Down Migration

REVOKE SELECT ON orchestrator.workflows, orchestrator.journal, orchestrator.timers
  FROM agent_orchestrator_api;
