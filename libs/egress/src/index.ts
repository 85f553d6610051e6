export { assertCidr, blockedReason, type EgressPolicy } from './blocked-reason.ts';
export { checkUrl, type UrlCheck } from './check-url.ts';
export { type Resolve } from './checked-lookup.ts';
export { cidrsSchema } from './cidrs-schema.ts';
export {
  bodyExcerptBytesMax,
  EgressClient,
  totalTimeoutMsDefault,
  type EgressClientOptions,
  type ExchangeRequest,
  type ExchangeResult,
  type PostRequest,
  type PostResult,
  type PostTimings,
} from './egress-client.ts';
export * from './core/index.ts';
export { type EgressDispatcherOptions } from './egress-dispatcher.ts';
export {
  certificateFileSchema,
  egressOptionsFrom,
  egressProxySchema,
} from './egress-environment.ts';
export { type EgressProxy } from './egress-proxy.ts';
export { type FailureClass } from './failure-class.ts';
