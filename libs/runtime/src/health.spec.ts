import { describe, expect, it } from '@jest/globals';

import { HealthChecks } from './health.ts';

describe('health', () => {
  it('is ready when every check passes, and tells what they found', async () => {
    const health = new HealthChecks('ingest');
    health.addCheck('postgres', () => ({ pool: 3 }));
    health.addInfo('claude', () => ({ stand_in: true }));
    expect(await health.readiness()).toMatchObject({
      status: 'ok',
      checks: { postgres: { status: 'ok', pool: 3 } },
    });
    expect(await health.liveness()).toMatchObject({ status: 'ok', claude: { stand_in: true } });
  });

  it('stays alive when it is not ready: a restart would mend nothing', async () => {
    const health = new HealthChecks('ingest');
    health.addCheck('postgres', () => Promise.reject(new Error('refused')));
    expect(await health.readiness()).toMatchObject({
      status: 'failing',
      checks: { postgres: { status: 'failing', reason: 'Error: refused' } },
    });
    expect(await health.liveness()).toMatchObject({ status: 'ok' });
  });

  it('fails its liveness by the checks that decide about it', async () => {
    const health = new HealthChecks('ingest');
    const broken = () => {
      throw new Error('hangs');
    };
    health.addCheck('consumer', broken, 'liveness');
    expect(await health.liveness()).toMatchObject({ status: 'failing' });
  });

  it('tells of a check that decides nothing, and is ready nevertheless', async () => {
    const health = new HealthChecks('ingest');
    health.addCheck('kafka', () => Promise.reject(new Error('refused')), 'nothing');
    expect(await health.readiness()).toMatchObject({
      status: 'ok',
      checks: { kafka: { status: 'failing', reason: 'Error: refused' } },
    });
    expect(await health.liveness()).toMatchObject({ status: 'ok' });
  });

  it('is not ready while it stops', async () => {
    const health = new HealthChecks('ingest');
    expect(health.stoppingMs).toBe(0);
    health.stopping();
    expect(await health.readiness()).toMatchObject({ status: 'failing', stopping: true });
    const stoppingMs = health.stoppingMs;
    expect(stoppingMs).toBeGreaterThan(0);
    // Told again, it is the same stop.
    health.stopping();
    expect(health.stoppingMs).toBeGreaterThanOrEqual(stoppingMs);
  });
});
