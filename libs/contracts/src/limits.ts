/** Limits that both sides of a contract rely on. Unit and reason stand beside each. */

/** Bytes of an HTTP request body; documents have their own route and limit. */
export const httpBodyBytesMax = 10 * 1024 * 1024;
/** Bytes of a Kafka record's value: the broker's own default for `message.max.bytes`. */
export const kafkaRecordBytesMax = 1024 * 1024;
/**
 * Bytes of a body carried inside an event. A larger one travels by reference to `blobs`, so that
 * a batch of records stays within one fetch.
 */
export const inlineBodyBytesMax = 256 * 1024;
/** Characters of a job id: fits a header, a URL segment and an index entry. */
export const jobIdLengthMax = 128;
/** Characters of an id that is made of a job's: three levels of sub-agents, and a call's number. */
export const internalIdLengthMax = 200;
/** Characters of a session id. */
export const sessionIdLengthMax = 128;
/** Characters of an `Idempotency-Key`. */
export const idempotencyKeyLengthMax = 255;
/** Characters of a callback URL: what browsers and proxies agree on. */
export const callbackUrlLengthMax = 2048;
/** Entries and characters of a job's metadata: it is copied into every event of the job. */
export const metadataEntriesMax = 16;
export const metadataValueLengthMax = 512;
/**
 * How far ahead of its acceptance a job's `run_at` may lie: half of the 30 days for which its row
 * and its parameters are kept, so that a job which was released late has as long to end.
 */
export const runAheadMsMax = 14 * 86_400_000;
/** How far ahead `complete_by` may lie: as long as the job is kept. */
export const completeAheadMsMax = 30 * 86_400_000;
/** Depth of nested JSON that is accepted: deeper is an attack on the parser, never a prompt. */
export const jsonDepthMax = 64;
/**
 * Values of one JSON body: text and images are few and large. Ten MiB of empty lists would be
 * three millions, and some hundred MiB once they are parsed.
 */
export const jsonValuesMax = 250_000;
/** Jobs of one batch: a few MiB of submissions, and an answer within a second. */
export const jobBatchMax = 1_000;
/** Dead letters of one bulk redrive: they are done one after another, within the answer. */
export const redriveBatchMax = 1_000;
/** Events that are kept of one job beside those that its row tells: a call may be cut off often. */
export const jobEventsKeptMax = 100;
/** Events of a timeline, the latest ones: the steps of a run, and 200 more than those. */
export const timelineEventsMax = 1_200;
/** Jobs on one page of the list: a page with full results stays within a few MiB. */
export const jobListLimitMax = 100;
export const jobListLimitDefault = 20;
/** Tenants of one stack: each has three topics, whose partitions the broker holds open. */
export const tenantsMax = 500;
/** Keys of a tenant that are not revoked: one for each system of theirs, and one to change to. */
export const apiKeysPerTenantMax = 50;
/** Characters of a key's label. */
export const apiKeyLabelLengthMax = 100;
/** Characters of a tool's description: it is sent to the model with every call. */
export const toolDescriptionLengthMax = 4_096;
/** Seconds of one attempt of a tool; what takes longer is a signal, not a tool. */
export const toolTimeoutSecondsMax = 3_600;
export const toolTimeoutSecondsDefault = 60;
/** Bytes and levels of a tool's schema: it is sent to the model, and checked against, each time. */
export const toolSchemaBytesMax = 64 * 1024;
export const toolSchemaDepthMax = 32;
/** Levels of a tool's result: the events that carry it have some of their own. */
export const toolResultDepthMax = 48;
/** Bytes of a tool's registration: description, schemas and headers, each of which has less. */
export const toolSubmissionBytesMax = 256 * 1024;
/** Attempts of a tool after its first. */
export const toolRetriesMax = 5;
/** Bytes of a tool's result: the model reads all of it, and pays for it in every later turn. */
export const toolResultBytesMax = 256 * 1024;
export const toolResultBytesDefault = 64 * 1024;
/** Tools of a tenant, and tools that one agent may be given: more than a model tells apart. */
export const toolsPerTenantMax = 500;
export const agentToolsMax = 128;
/** Model calls of an agent, tool calls, and how long it may go on: a month, as its job is kept. */
export const agentIterationsMax = 1_000;
export const agentIterationsDefault = 50;
export const agentToolCallsMax = 10_000;
export const agentToolCallsDefault = 500;
export const agentTokensDefault = 5_000_000;
export const agentSecondsMax = 30 * 86_400;
export const agentSecondsDefault = 86_400;
/** Sub-agents that one agent knows, and that it may start; how deep they may be nested. */
export const agentChildrenMax = 16;
export const agentChildrenStartedMax = 100;
export const agentDepthMax = 3;
/** Characters that a fork says at its step: they travel with its request, and stay in its row. */
export const forkPromptLengthMax = 32_768;
/** Names of signals of an agent, and signals that nobody has waited for yet. */
export const agentSignalsMax = 32;
export const signalsKeptMax = 100;
/** Bytes of a signal's data: it becomes a tool's result. */
export const signalBytesMax = 64 * 1024;
/** Tool calls of one answer that are run at once; what is above waits for one of them. */
export const parallelToolCallsMax = 32;
/** How long an approval is waited for. */
export const approvalSeconds = 7 * 86_400;
/**
 * Bytes for a token, at the fewest, of text of any language and kind: what a prompt may cost is
 * reserved by it before it is asked for.
 */
export const tokenBytesMin = 2;
/** Bytes of an uploaded document, and parts that it may have. */
export const documentBytesMax = 32 * 1024 * 1024;
export const documentChunksMax = 1_000;
export const documentChunkTokensMin = 200;
export const documentChunkTokensMax = 100_000;
export const documentChunkTokensDefault = 8_000;
/** Documents of a tenant that are kept: with 32 MB each this is a disk's worth. */
export const documentsPerTenantMax = 1_000;
/**
 * How long ago `since` of a redelivery may lie: a day less than the 30 for which webhook-dispatcher
 * knows what it has sent. What it has forgotten it would send a second time.
 */
export const redeliveryAgoMsMax = 29 * 86_400_000;
/** Redeliveries of a tenant that are kept, for 30 days: one in three quarters of an hour. */
export const redeliveriesPerTenantMax = 1_000;
/** Webhook endpoints of a tenant: every event goes to each of them that wants it. */
export const endpointsPerTenantMax = 100;
/** Characters of an endpoint's description. */
export const endpointDescriptionLengthMax = 500;
/** Bytes of an endpoint's registration: its headers, and JSON's own. */
export const endpointSubmissionBytesMax = 64 * 1024;
/** Attempts at once at one endpoint: a small receiver's connections, and a large one's. */
export const endpointInFlightMax = 50;
export const endpointInFlightDefault = 10;
/** Seconds that a receiver has to answer in; who works longer answers first. */
export const endpointTimeoutSecondsMax = 30;
export const endpointTimeoutSecondsDefault = 15;
/** Attempts a second that a receiver may limit us to, least and most. */
export const endpointRateMin = 0.01;
export const endpointRateMax = 1_000;
/** Entries of a retry schedule: enough for days, few enough to be read at a glance. */
export const retryScheduleEntriesMax = 12;
/** Seconds that a retry schedule may span: receivers rarely remember ids for longer. */
export const retryScheduleSecondsMax = 7 * 86_400;
/** Signing secrets that live at once: each is a signature in the header of every webhook. */
export const liveSecretsMax = 10;
/** How long a secret that was replaced goes on signing. */
export const secretExpirySecondsMax = 7 * 86_400;
export const secretExpirySecondsDefault = 86_400;
/** Deliveries of one bulk replay: one statement, and an answer within a second. */
export const replayBatchMax = 1_000;
/** Bytes of a receiver's answer that are kept: enough for its error page's first words. */
export const responseExcerptBytesMax = 16 * 1024;
/** Bytes of an inbound webhook; GitHub's are as large as it says that they may be. */
export const inboundBytesMax = 1024 * 1024;
export const inboundGitHubBytesMax = 25 * 1024 * 1024;
/** Sources of a tenant: one for each of its systems. */
export const inboundSourcesPerTenantMax = 100;
export const inboundNameLengthMax = 100;
/** Event types that one source takes: more is no filter. */
export const inboundEventsMax = 64;
/** Secrets of a source that are believed: each costs a MAC of the body. */
export const inboundSecretsMax = 10;
/** Bytes of a source's template, and of what comes of it: a prompt, not a document. */
export const inboundTemplateBytesMax = 64 * 1024;
export const inboundJobBytesMax = 1024 * 1024;
