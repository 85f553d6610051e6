import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { chromium, type Browser, type Page } from 'playwright-core';

import { ended, pidOf, readyReplicas, stack, until } from './running-stack.ts';

jest.setTimeout(180_000);

/** Empty where there is none. */
const executablePath = process.env.MILLRACE_E2E_CHROMIUM ?? '';
/** A folder for pictures of the page, for who wants to look at it. */
const picturesFolder = process.env.MILLRACE_E2E_PICTURES;
const server = join(import.meta.dirname, '../examples/browser/main.mjs');
const workers = ['claude-worker-1', 'claude-worker-2'];

/** About ten seconds of writing. */
const longPrompt = 'Tell a long story about a mill. [[sentences:150]]';

/** The network between browser and server: it can be cut, and sees every byte that comes back. */
class Cable {
  carried = '';
  connections = 0;
  private isCut = false;
  private readonly sockets = new Set<Socket>();
  private readonly listener: Server;

  constructor(private readonly port: number) {
    this.listener = createServer((socket) => this.join(socket));
  }

  async plugIn(): Promise<string> {
    this.listener.listen(0, '127.0.0.1');
    await once(this.listener, 'listening');
    const address = this.listener.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `http://127.0.0.1:${address.port}/`;
  }

  cut(): void {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  mend(): void {
    this.isCut = false;
  }

  async unplug(): Promise<void> {
    this.cut();
    this.listener.close();
    await once(this.listener, 'close');
  }

  private join(browser: Socket): void {
    if (this.isCut) return void browser.destroy();
    this.connections += 1;
    const far = connect(this.port, '127.0.0.1');
    far.on('data', (chunk) => (this.carried += chunk.toString('latin1')));
    for (const [one, other] of [
      [browser, far],
      [far, browser],
    ] as const) {
      this.sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        this.sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}

/** Starts the example as its own text says, on a free port. @returns its port. */
async function startServer(): Promise<{ process: ChildProcess; port: number }> {
  const example = spawn(process.execPath, [server], {
    env: { ...process.env, PORT: '0', MILLRACE_URL: stack.url, MILLRACE_API_KEY: stack.apiKey },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  example.stdout.on('data', (chunk) => (said += String(chunk)));
  const port = await until('the example says where it is', 20_000, () => {
    return /:(\d+)\/$/m.exec(said)?.[1];
  });
  return { process: example, port: Number(port) };
}

async function picture(page: Page, name: string): Promise<void> {
  if (picturesFolder === undefined) return;
  await page.screenshot({ path: join(picturesFolder, `${name}.png`), fullPage: true });
}

const textOf = async (page: Page) => (await page.locator('#answer').textContent()) ?? '';
const eventsOf = (page: Page) => page.locator('#events li span').allTextContents();
const jobOf = (page: Page) => decodeURIComponent(new URL(page.url()).hash.slice(1));

/** Asks, and waits until some of the answer is there. */
async function askLong(page: Page): Promise<void> {
  await page.locator('#prompt').fill(longPrompt);
  await page.getByRole('button', { name: 'Ask' }).click();
  await until('some text', 60_000, async () => (await textOf(page)).length > 400);
}

async function over(page: Page): Promise<void> {
  await page.locator('#outcome').waitFor({ state: 'visible', timeout: 120_000 });
}

(executablePath !== '' ? describe : describe.skip)('a page in a browser', () => {
  let example: Awaited<ReturnType<typeof startServer>>;
  let browser: Browser;
  let cable: Cable;
  let page: Page;

  beforeAll(async () => {
    example = await startServer();
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  });

  afterAll(async () => {
    const exited = once(example.process, 'exit');
    example.process.kill('SIGTERM');
    await exited;
    await browser.close();
  });

  async function open(): Promise<void> {
    cable = new Cable(example.port);
    page = await browser.newPage({ viewport: { width: 1_120, height: 780 } });
    await page.goto(await cable.plugIn());
  }

  afterEach(async () => {
    await page.close();
    await cable.unplug();
  });

  it('goes on by itself when its network comes back, without gap or repeat', async () => {
    await open();
    await askLong(page);
    cable.cut();
    await page.locator('#connection[data-state="lost"]').waitFor();
    const before = await textOf(page);
    await picture(page, 'cut');
    cable.mend();
    await until('more text', 30_000, async () => (await textOf(page)).length > before.length);
    await picture(page, 'again');
    await over(page);
    await page.locator('#answer .cut').scrollIntoViewIfNeeded();
    await picture(page, 'over');

    const { result } = await ended(jobOf(page));
    expect(await textOf(page)).toBe(result);
    // What the stream told was all of it: the result was not put in its place.
    expect(await page.locator('#outcome').getAttribute('data-streamed')).toBe('true');
    expect(await page.locator('#answer .cut').count()).toBe(1);
    const events = await eventsOf(page);
    const place = before.length.toLocaleString('en');
    expect(events).toContain(`Connection lost at ${place} characters`);
    expect(events).toContain(`Connected again, after character ${place}`);
    expect(events.at(-1)).toBe('The job has succeeded');
    expect(cable.carried).toContain('text/event-stream');
    expect(cable.carried).not.toContain(stack.apiKey);
  });

  it('that is loaded again begins with a snapshot, and tells the rest', async () => {
    await open();
    await askLong(page);
    const jobId = jobOf(page);
    await page.reload();
    await over(page);
    expect(jobOf(page)).toBe(jobId);
    expect(await textOf(page)).toBe((await ended(jobId)).result);
    expect(await page.locator('#outcome').getAttribute('data-streamed')).toBe('true');
    const snapshots = (await eventsOf(page)).filter((words) => words.startsWith('Snapshot'));
    expect(snapshots.length).toBe(1);
  });

  it('begins the answer again when its worker is killed', async () => {
    await open();
    await askLong(page);
    for (const pid of workers.map(pidOf)) process.kill(Number(pid), 'SIGKILL');
    await over(page);
    await readyReplicas();
    expect(await textOf(page)).toBe((await ended(jobOf(page))).result);
    expect(await page.locator('#outcome').getAttribute('data-streamed')).toBe('true');
    expect(await eventsOf(page)).toContain('Another attempt begins the answer again');
  });

  it('says that there is no such job, and that a question cannot be sent', async () => {
    await open();
    await page.goto(`${page.url()}#job_of_nobody`);
    await page.locator('#problem', { hasText: 'There is no such job.' }).waitFor();
    cable.cut();
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.locator('#problem', { hasText: 'cannot be reached' }).waitFor();
    await picture(page, 'problem');
  });
});
