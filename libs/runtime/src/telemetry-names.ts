/**
 * Every name of a span, attribute, metric and wide log event, in one place: the conventions
 * (messaging, gen_ai) still move, and dashboards need one list to read.
 */
export const names = {
  span: {
    send: (topic: string) => `send ${topic}`,
    process: (topic: string) => `process ${topic}`,
    chat: (model: string) => `chat ${model}`,
    /** A workflow from its acceptance to its end; the kind stands where agents have a name. */
    invokeAgent: (kind: string) => `invoke_agent ${kind}`,
    /** Name of a server span: method and route template. */
    http: (method: string, route: string) => `${method} ${route}`,
    /** Name of a client span: the method alone, since the path is not a template. */
    httpClient: (method: string) => method,
    executeTool: (tool: string) => `execute_tool ${tool}`,
  },

  attribute: {
    jobId: 'job.id',
    tenantId: 'tenant.id',
    jobType: 'job.type',
    jobStatus: 'job.status',
    sessionId: 'session.id',
    workflowId: 'millrace.workflow.id',
    attempt: 'millrace.attempt',
    standIn: 'millrace.stand_in',
    errorCode: 'error.code',
    errorType: 'error.type',

    messagingSystem: 'messaging.system',
    messagingOperationName: 'messaging.operation.name',
    messagingOperationType: 'messaging.operation.type',
    messagingDestination: 'messaging.destination.name',
    messagingPartition: 'messaging.destination.partition.id',
    messagingGroup: 'messaging.consumer.group.name',
    messagingMessageId: 'messaging.message.id',
    messagingBodySize: 'messaging.message.body.size',
    messagingKafkaOffset: 'messaging.kafka.offset',

    genAiProvider: 'gen_ai.provider.name',
    genAiOperation: 'gen_ai.operation.name',
    genAiRequestModel: 'gen_ai.request.model',
    genAiRequestMaxTokens: 'gen_ai.request.max_tokens',
    genAiResponseId: 'gen_ai.response.id',
    genAiResponseModel: 'gen_ai.response.model',
    genAiFinishReasons: 'gen_ai.response.finish_reasons',
    genAiInputTokens: 'gen_ai.usage.input_tokens',
    genAiOutputTokens: 'gen_ai.usage.output_tokens',
    genAiCacheReadTokens: 'gen_ai.usage.cache_read.input_tokens',
    genAiCacheCreationTokens: 'gen_ai.usage.cache_creation.input_tokens',
    genAiTokenType: 'gen_ai.token.type',
    genAiToolName: 'gen_ai.tool.name',
    genAiToolType: 'gen_ai.tool.type',
    genAiToolCallId: 'gen_ai.tool.call.id',

    httpMethod: 'http.request.method',
    httpRoute: 'http.route',
    httpStatus: 'http.response.status_code',
    httpResendCount: 'http.request.resend_count',
    urlFull: 'url.full',
    urlPath: 'url.path',
    serverAddress: 'server.address',
    serverPort: 'server.port',
  },

  /** Values of attributes that the conventions fix. */
  value: {
    kafka: 'kafka',
    anthropic: 'anthropic',
    chat: 'chat',
    executeTool: 'execute_tool',
    invokeAgent: 'invoke_agent',
    send: 'send',
    process: 'process',
    inputTokens: 'input',
    outputTokens: 'output',
  },

  metric: {
    /** Submission rate. Labels: type, via (http, kafka), outcome (accepted, replayed, refused). */
    jobsSubmitted: 'millrace_jobs_submitted_total',
    /** Completions. Labels: type, outcome (succeeded, failed, cancelled, expired). */
    jobsFinished: 'millrace_jobs_finished_total',
    /** From acceptance to the terminal event. Labels: type, outcome. */
    jobDuration: 'millrace_job_duration_seconds',

    /** Queue depth of Kafka: records not yet processed. Labels: topic, partition. */
    consumerLag: 'millrace_consumer_lag_records',
    /** One batch, from decoding to its published messages. Labels: topic. */
    stepDuration: 'millrace_step_duration_seconds',
    /** Labels: topic, outcome (done, dead_letter). */
    stepRecords: 'millrace_step_records_total',
    /** Labels: topic. */
    stepRetries: 'millrace_step_retries_total',
    /** 1 while a partition waits for a release that knows its records. Labels: topic, partition. */
    partitionParked: 'millrace_partition_parked',
    /** Labels: topic, code. */
    deadLetters: 'millrace_dead_letters_total',
    consumerRestarts: 'millrace_consumer_restarts_total',
    /** One `sendBatch`. Labels: publisher. */
    publishDuration: 'millrace_publish_duration_seconds',
    /** Labels: publisher, outcome (sent, failed). */
    publishedMessages: 'millrace_published_messages_total',
    /** Messages that wait for the `sendBatch` in flight. Labels: publisher. */
    publishQueue: 'millrace_publish_queue_messages',

    /** Queue depth of a work queue: rows that nobody runs yet. Labels: queue. */
    workWaiting: 'millrace_work_waiting_rows',
    /** Labels: queue. */
    workInFlight: 'millrace_work_in_flight',
    /** Worker time of one row, claimed to settled. Labels: queue, outcome. */
    workDuration: 'millrace_work_duration_seconds',

    /** Latency of one call to Claude. Labels: model, outcome. */
    claudeDuration: 'gen_ai_client_operation_duration_seconds',
    /** From the send to the first token. Labels: model. */
    claudeFirstToken: 'gen_ai_client_operation_time_to_first_chunk_seconds',
    /** Labels: model, token_type (input, output). */
    claudeTokens: 'gen_ai_client_token_usage',
    /** Labels: model, outcome. */
    claudeAttempts: 'millrace_claude_attempts_total',
    /** 1 for the state that the gate is in. Labels: state. */
    claudeGate: 'millrace_claude_gate',

    /** Labels: kind (http, mcp, describe, split), outcome. */
    toolAttempts: 'millrace_tool_attempts_total',
    toolDuration: 'millrace_tool_attempt_duration_seconds',
    /** Labels: outcome. */
    webhookAttempts: 'millrace_webhook_attempts_total',
    webhookDuration: 'millrace_webhook_attempt_duration_seconds',
    /** Labels: method, route, status. */
    httpDuration: 'http_server_request_duration_seconds',
    /** Bytes of bodies in memory, or expected. */
    httpBodyBytes: 'millrace_http_body_bytes_in_flight',
    httpInFlight: 'millrace_http_requests_in_flight',
    /** Refusals for want of room. Labels: reason, via (http, kafka). */
    admissionRefused: 'millrace_admission_refused_total',
    /** Event streams open now, those whose last bytes are on their way included. */
    streamsOpen: 'millrace_streams_open',
    /** Labels: from (beginning, resumed). */
    streamsOpened: 'millrace_streams_opened_total',
    /** Labels: outcome (finished, cycled, dropped, left, stopped). */
    streamsEnded: 'millrace_streams_ended_total',
    /** Labels: reason (tenant_full, process_full). */
    streamsRefused: 'millrace_streams_refused_total',
    outboxSwept: 'millrace_outbox_swept_total',

    /** Labels: event, outcome (applied, known, ignored, unknown, parked). */
    workflowEvents: 'millrace_workflow_events_total',
    /** Decisions that another writer was faster than. */
    workflowSwapsLost: 'millrace_workflow_swaps_lost_total',
    /** Labels: code. */
    workflowsParked: 'millrace_workflows_parked_total',
    /** Labels: kind, status. */
    workflowsEnded: 'millrace_workflows_ended_total',
    /** Workflows that go on, by what they wait for. Labels: status. */
    workflowsOpen: 'millrace_workflows_open',
    workflowTimerLag: 'millrace_workflow_timer_lag_seconds',
  },

  /** `event` of wide log lines. */
  event: {
    serviceStarted: 'service.started',
    serviceStopping: 'service.stopping',
    serviceStopped: 'service.stopped',
    consumerJoined: 'consumer.joined',
    consumerCrashed: 'consumer.crashed',
    stepDone: 'step.done',
    stepRetried: 'step.retried',
    stepSlow: 'step.slow',
    partitionParked: 'partition.parked',
    deadLettered: 'record.dead_lettered',
    recordSkipped: 'record.skipped',
    publishFailed: 'publish.failed',
    offsetsNotCommitted: 'offsets.not_committed',
    jobAccepted: 'job.accepted',
    intakeWaits: 'intake.waits',
    deadLetterRedriven: 'dead_letter.redriven',
    redeliveryStarted: 'redelivery.started',
    redeliveryDone: 'redelivery.done',
    jobFinished: 'job.finished',
    callSettled: 'call.settled',
    workflowFinished: 'workflow.finished',
    workflowParked: 'workflow.parked',
    callRetried: 'call.retried',
    gateChanged: 'gate.changed',
    toolEnded: 'tool.ended',
    toolRetried: 'tool.retried',
    webhookDelivered: 'webhook.delivered',
    webhookFailed: 'webhook.failed',
    secretsResealed: 'secrets.resealed',
    httpRequest: 'http.request',
  },
} as const;

/** Histogram bounds in seconds for what takes milliseconds: steps, publishes, commits. */
export const fastBucketsSeconds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
/** For calls to Claude: the conventions' own bounds end at 82 s, long answers take more. */
export const slowBucketsSeconds = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640,
];
