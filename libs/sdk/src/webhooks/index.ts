export type { SignatureScheme, WebhookRefusal } from '../core/check-signature.ts';
export * from './express-webhook.ts';
export * from './fastify-webhook.ts';
export * from './processed-webhooks.ts';
export * from './verify-webhook.ts';
export * from './webhook-guard.ts';
export * from './webhook-receiver.ts';
