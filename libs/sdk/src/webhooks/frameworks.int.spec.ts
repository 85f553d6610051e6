import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Module, Post, Req, UseGuards, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import express from 'express';
import { fastify } from 'fastify';
import { Webhook } from 'standardwebhooks';

import {
  expressWebhook,
  fastifyWebhook,
  MemoryProcessedWebhooks,
  WebhookGuard,
  type VerifiedWebhook,
  type WebhookRequest,
} from './index.ts';

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const body = '{"job_id": "job_1",  "result": "grüße"}';
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Receiver {
  readonly url: string;
  readonly seen: VerifiedWebhook[];
  /** Throws in the handler, that many times. */
  failures: number;
}

type Start = (handler: (webhook: VerifiedWebhook) => void) => Promise<string>;

async function receiver(start: Start): Promise<Receiver> {
  const seen: VerifiedWebhook[] = [];
  const received: Receiver = { url: '', seen, failures: 0 };
  const url = await start((webhook) => {
    if (received.failures > 0) {
      received.failures -= 1;
      throw new Error('the handler failed');
    }
    seen.push(webhook);
  });
  return Object.assign(received, { url });
}

async function post(url: string, o: { id?: string; body?: string; signed?: string } = {}) {
  const { id = 'msg_1', signed = body } = o;
  const at = new Date();
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(id, at, signed),
      'webhook-attempt': '2',
    },
    body: o.body ?? body,
  });
  return { status: response.status, told: await response.json() };
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  const address = server.address();
  return `http://127.0.0.1:${isAddress(address) ? address.port : 0}`;
}

function isAddress(address: string | AddressInfo | null): address is AddressInfo {
  return typeof address === 'object' && address !== null;
}

const options = (handler: (webhook: VerifiedWebhook) => void) => ({
  secret,
  handler,
  processed: new MemoryProcessedWebhooks(),
});

const startExpress: Start = async (handler) => {
  const app = express();
  app.post('/hooks', expressWebhook(options(handler)));
  app.use(express.json());
  return `${await listening(createServer(app))}/hooks`;
};

const startRawExpress: Start = async (handler) => {
  const app = express();
  app.use('/hooks', express.raw({ type: '*/*' }));
  app.post('/hooks', expressWebhook(options(handler)));
  return `${await listening(createServer(app))}/hooks`;
};

const startFastify: Start = async (handler) => {
  const app = fastify();
  await app.register(fastifyWebhook, { path: '/hooks', ...options(handler) });
  // Its own routes still get JSON.
  app.post('/other', async (request) => request.body);
  closers.push(() => app.close());
  return `${await app.listen({ port: 0, host: '127.0.0.1' })}/hooks`;
};

describe.each([
  ['Express', startExpress],
  ['Express behind its raw parser', startRawExpress],
  ['Fastify', startFastify],
])('a receiver with %s', (_name, start) => {
  it('hands over what is signed, whole and once', async () => {
    const { url, seen } = await receiver(start);
    expect(await post(url)).toEqual({ status: 200, told: { status: 'processed' } });
    expect(await post(url)).toEqual({ status: 200, told: { status: 'already_processed' } });
    expect(seen).toEqual([
      { id: 'msg_1', attempt: 2, traceparent: undefined, payload: JSON.parse(body) },
    ]);
  });

  it('refuses what is not, with 401', async () => {
    const { url, seen } = await receiver(start);
    const forged = await post(url, { signed: '{}' });
    expect(forged).toEqual({ status: 401, told: { error: 'bad_signature' } });
    const unsigned = await fetch(url, { method: 'POST', body });
    expect(unsigned.status).toBe(401);
    expect(seen).toEqual([]);
  });

  it('answers with an error when the handler fails, and takes the next copy', async () => {
    const failing = await receiver(start);
    failing.failures = 1;
    expect((await fetch(failing.url, await signedInit())).status).toBe(500);
    expect((await post(failing.url)).told).toEqual({ status: 'processed' });
  });
});

async function signedInit(): Promise<RequestInit> {
  const at = new Date();
  const headers = {
    'content-type': 'application/json',
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign('msg_1', at, body),
  };
  return { method: 'POST', headers, body };
}

describe('a receiver with Express', () => {
  it('says what is wrong when the body was parsed before', async () => {
    const app = express();
    app.use(express.json());
    app.post('/hooks', expressWebhook({ secret, handler: () => undefined }));
    const errors: unknown[] = [];
    const onError: express.ErrorRequestHandler = (error, _request, response, _next) => {
      errors.push(error);
      response.status(500).json({});
    };
    app.use(onError);
    const url = await listening(createServer(app));
    expect((await post(`${url}/hooks`)).status).toBe(500);
    expect(String(errors[0])).toContain('before express.json()');
  });

  it('reads no more than half a megabyte', async () => {
    const { url } = await receiver(startExpress);
    const answer = await post(url, { body: 'x'.repeat(600 * 1024) });
    expect(answer).toEqual({ status: 413, told: { error: 'payload_too_large' } });
  });
});

describe('a receiver with Fastify', () => {
  it('leaves the parsers of other routes alone', async () => {
    const { url } = await receiver(startFastify);
    const other = await fetch(url.replace('/hooks', '/other'), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect(await other.json()).toEqual(JSON.parse(body));
  });
});

@Controller()
class HooksController {
  static readonly seen: unknown[] = [];

  @Post('hooks')
  @UseGuards(new WebhookGuard({ secret }))
  take(@Req() request: WebhookRequest) {
    HooksController.seen.push(request.webhook?.payload);
    return { status: 'processed' };
  }
}

@Module({ controllers: [HooksController] })
class HooksModule {}

describe('a receiver with Nest', () => {
  async function started(rawBody: boolean): Promise<string> {
    const app: INestApplication = await NestFactory.create<NestFastifyApplication>(
      HooksModule,
      new FastifyAdapter(),
      { rawBody, logger: false },
    );
    closers.push(() => app.close());
    await app.listen(0, '127.0.0.1');
    return `${await app.getUrl()}/hooks`;
  }

  it('lets in what is signed, and answers 401 to the rest', async () => {
    const url = await started(true);
    expect((await post(url)).status).toBe(201);
    expect(HooksController.seen).toEqual([JSON.parse(body)]);
    expect((await post(url, { signed: '{}' })).status).toBe(401);
    expect(HooksController.seen).toHaveLength(1);
  });

  it('lets nothing in without the raw bytes', async () => {
    expect((await post(await started(false))).status).toBe(500);
  });
});
