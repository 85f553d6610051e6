import { setTimeout as delay } from 'node:timers/promises';

import { deadLettersOf, defaultTenant, topicOfTenant, topics } from '@millrace/contracts';
import { StepsStrategy, TopicCreation } from '@millrace/kafka';
import { Logger } from '@millrace/runtime';
import { Injectable } from '@nestjs/common';

import { Tenants, type TenantIntake } from './ports.ts';

/** How long a tenant that another replica made or disabled goes unnoticed here. */
const lookEveryMs = 2_000;
/** A change waits so long for its topic: it holds without, and the topic comes later. */
const changeMsMax = 5_000;

const intake = topics.tenantSubmitted;
const deadLetters = deadLettersOf(intake);
/** What the stack makes for `default` it makes for nobody else. */
const created = [intake, deadLetters, topics.tenantToolsRequested];

/**
 * Sees to it that each tenant's topics exist and that this replica consumes those of tenants that
 * are enabled. The table of tenants is the only source, so a change is followed by every replica,
 * and by one that was away. The topics of `default` come with the stack.
 */
@Injectable()
export class TenantTopics {
  private readonly created = new Set<string>();
  private looking: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | null = null;
  private stopped = false;

  constructor(
    private readonly tenants: Tenants,
    private readonly steps: StepsStrategy,
    private readonly creation: TopicCreation,
    private readonly log: Logger,
  ) {}

  start(): void {
    void this.look().finally(() => this.schedule());
  }

  /** Resolves when nothing of it runs. */
  async stop(): Promise<void> {
    this.stopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
    await this.looking;
  }

  /** After a change: resolves when it is followed here, or when it has to wait for Kafka. */
  async changed(): Promise<void> {
    await Promise.race([this.look(), delay(changeMsMax, undefined, { ref: false })]);
  }

  private schedule(): void {
    if (this.stopped) return;
    this.timer = setTimeout(() => this.start(), lookEveryMs);
  }

  /** One after the other: each reads the table anew. Never rejects. */
  private look(): Promise<void> {
    this.looking = this.looking.then(async () => {
      try {
        if (!this.stopped) await this.follow(await this.tenants.intakes());
      } catch (error) {
        this.log.warn({ error }, 'the topics of tenants are looked at again soon');
      }
    });
    return this.looking;
  }

  private async follow(intakes: readonly TenantIntake[]): Promise<void> {
    const others = intakes.filter(({ tenant }) => tenant !== defaultTenant);
    const unseen = others.filter(({ tenant }) => !this.created.has(tenant));
    if (unseen.length > 0) {
      await this.creation.create(
        unseen.flatMap(({ tenant }) =>
          created.map((row) => topicOfTenant(row, tenant)),
        ),
      );
      for (const { tenant } of unseen) this.created.add(tenant);
    }
    const enabled = others.filter(({ disabled }) => !disabled);
    await this.steps.follow([
      ...enabled.map(({ tenant }) => ({ row: intake, tenant })),
      // Those of a disabled tenant too: what a replica gave up last is to be found later.
      ...others.map(({ tenant }) => ({ row: deadLetters, tenant })),
    ]);
  }
}
