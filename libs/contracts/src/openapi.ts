import type { z } from 'zod';

import {
  approvalDecisionSchema,
  approvalListSchema,
  forkComparisonSchema,
  forkSubmissionSchema,
  signalSubmissionSchema,
} from './agents.ts';
import { budgetRaiseSchema } from './budgets.ts';
import {
  deadLetterListSchema,
  deadLetterViewSchema,
  redriveBatchAnswerSchema,
  redriveBatchSchema,
  redriveSubmissionSchema,
  redriveViewSchema,
} from './dead-letters.ts';
import { documentListSchema, documentTypes, documentViewSchema } from './documents.ts';
import { errorCodes, problemSchema } from './errors.ts';
import { httpHeaders, traceHeaders, webhookHeaders } from './headers.ts';
import {
  callbackBodySchema,
  jobBatchAnswerSchema,
  jobBatchSchema,
  jobListSchema,
  sessionViewSchema,
  jobStatuses,
  jobSubmissionSchema,
  jobTypes,
  jobViewSchema,
  streamRequestSchema,
} from './jobs.ts';
import {
  documentBytesMax,
  httpBodyBytesMax,
  idempotencyKeyLengthMax,
  jobBatchMax,
  jobIdLengthMax,
  jobListLimitDefault,
  jobListLimitMax,
  redriveBatchMax,
  sessionIdLengthMax,
} from './limits.ts';
import { inboundPaths } from './openapi-inbound.ts';
import { endpointWebhook, webhookPaths, type SharedParts } from './openapi-webhooks.ts';
import {
  redeliveryListSchema,
  redeliverySubmissionSchema,
  redeliveryViewSchema,
} from './redeliveries.ts';
import { httpComponents, schemaRef, type JsonObject } from './schema-components.ts';
import {
  apiKeyListSchema,
  apiKeySubmissionSchema,
  apiKeyViewSchema,
  newApiKeySchema,
  secretRotationSchema,
  tenantListSchema,
  tenantSubmissionSchema,
  tenantViewSchema,
  tenantWithSecretSchema,
} from './tenants.ts';
import { timelineSchema } from './timeline.ts';
import { toolListSchema, toolSubmissionSchema, toolViewSchema } from './tools.ts';

/** The HTTP API as OpenAPI 3.1, made from the schemas that ingest parses with. */
export function openApiDocument(): JsonObject {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace',
      version: '1',
      summary: 'Hand over work for Claude, get an answer at once, be told when it is done.',
      description:
        'Errors are RFC 9457 problem documents with a `code` from a closed list and the trace id.' +
        ' A method that a path does not have is answered 405, with those that it has in `Allow`.',
    },
    servers: [{ url: '/', description: 'The service that gave this document.' }],
    security: [{ bearer: [] }, { apiKey: [] }],
    tags: [
      { name: 'jobs' },
      { name: 'agents' },
      { name: 'documents' },
      { name: 'webhooks' },
      { name: 'inbound' },
      { name: 'redeliveries' },
      { name: 'dead letters' },
      { name: 'tenants' },
      { name: 'operations' },
    ],
    paths: {
      ...jobPaths(),
      ...sessionPaths(),
      ...runPaths(),
      ...toolPaths(),
      ...documentPaths(),
      ...webhookPaths(sharedParts),
      ...inboundPaths(sharedParts),
      ...redeliveryPaths(),
      ...deadLetterPaths(),
      ...tenantPaths(),
      ...apiKeyPaths(),
      ...operationPaths(),
    },
    webhooks: { jobFinished: callbackWebhook(), endpointTold: endpointWebhook() },
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'An API key `mr_…`, or the operator’s `mra_…`.',
        },
        apiKey: { type: 'apiKey', in: 'header', name: httpHeaders.apiKey },
      },
      parameters: { JobId: jobIdParameter },
      responses: problemResponses(),
      schemas: httpComponents(),
    },
  };
}

const sessionIdParameter = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string', maxLength: sessionIdLengthMax },
};

const jobIdParameter = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string', maxLength: jobIdLengthMax, pattern: '^[A-Za-z0-9._:-]+$' },
} satisfies JsonObject;

/** The same place twice: clients that connect again by themselves send the header. */
const resumeParameters: JsonObject[] = [
  { name: 'Last-Event-ID', in: 'header' },
  { name: 'starting_after', in: 'query' },
].map((parameter) => ({
  ...parameter,
  description: 'The id of the last event that came: the stream goes on right after it.',
  schema: { type: 'string' },
}));

const idempotencyKeyParameter: JsonObject = {
  name: httpHeaders.idempotencyKey,
  in: 'header',
  description: 'The same key and body give the same answer, another body is a conflict.',
  schema: { type: 'string', minLength: 1, maxLength: idempotencyKeyLengthMax },
};

const traceparentParameter: JsonObject = {
  name: traceHeaders.parent,
  in: 'header',
  description: 'W3C Trace Context: the job joins this trace.',
  schema: { type: 'string' },
};

const problemTitles = {
  BadRequest: [400, 'The request cannot be read, or a field is wrong.'],
  Unauthorized: [401, errorCodes.unauthorized.title],
  Forbidden: [403, errorCodes.forbidden.title],
  NotFound: [404, errorCodes.not_found.title],
  Conflict: [409, errorCodes.idempotency_conflict.title],
  ChangedMeanwhile: [409, errorCodes.changed_meanwhile.title],
  NotToBeTold: [
    409,
    [errorCodes.job_ended, errorCodes.not_begun, errorCodes.changed_meanwhile]
      .map(({ title }) => title)
      .join('; or: '),
  ],
  RedeliveryRefused: [
    409,
    `${errorCodes.limit_reached.title}; or: ${errorCodes.idempotency_conflict.title}`,
  ],
  Refused: [409, `${errorCodes.already_exists.title}; or: ${errorCodes.limit_reached.title}`],
  EndpointRefused: [
    409,
    [
      errorCodes.not_enabled,
      errorCodes.delivery_under_way,
      errorCodes.limit_reached,
      errorCodes.changed_meanwhile,
    ]
      .map(({ title }) => title)
      .join('; or: '),
  ],
  UnsafeUrl: [422, errorCodes.unsafe_callback_url.title],
  Gone: [410, errorCodes.gone.title],
  TooLarge: [413, `${errorCodes.payload_too_large.title} (${httpBodyBytesMax} bytes)`],
  UnsupportedMediaType: [415, errorCodes.unsupported_media_type.title],
  Unprocessable: [422, 'The callback URL is not allowed, or the model would refuse the job.'],
  TooManyRequests: [429, errorCodes.too_many_requests.title],
  Internal: [500, errorCodes.internal.title],
  Unavailable: [503, `${errorCodes.not_durable.title}; or: ${errorCodes.unavailable.title}`],
} as const satisfies Record<string, readonly [status: number, description: string]>;

type ProblemName = keyof typeof problemTitles;

function problemResponses(): JsonObject {
  const retryAfter = { 'Retry-After': { description: 'Seconds.', schema: { type: 'integer' } } };
  return Object.fromEntries(
    Object.entries(problemTitles).map(([name, [status, description]]) => [
      name,
      {
        description,
        ...(status === 429 || status === 503 ? { headers: retryAfter } : {}),
        content: { 'application/problem+json': { schema: schemaRef(problemSchema) } },
      },
    ]),
  );
}

function problems(...names: readonly ProblemName[]): JsonObject {
  return Object.fromEntries(
    names.map((name) => [
      String(problemTitles[name][0]),
      { $ref: `#/components/responses/${name}` },
    ]),
  );
}

function jsonContent(schema: z.ZodType): JsonObject {
  return { 'application/json': { schema: schemaRef(schema) } };
}

const eventStream = (description: string): JsonObject => ({
  'text/event-stream': { schema: { type: 'string', description } },
});

const submissionProblems = problems(
  'BadRequest',
  'Unauthorized',
  'Forbidden',
  'Conflict',
  'TooLarge',
  'UnsupportedMediaType',
  'Unprocessable',
  'TooManyRequests',
  'Internal',
  'Unavailable',
);
/** Of the request as a whole; what is wrong with one job stands in its result. */
const batchProblems = problems(
  'BadRequest',
  'Unauthorized',
  'Forbidden',
  'TooLarge',
  'UnsupportedMediaType',
  'TooManyRequests',
  'Internal',
  'Unavailable',
);
const readProblems = problems('BadRequest', 'Unauthorized', 'Forbidden', 'NotFound', 'Internal');

function sessionPaths(): JsonObject {
  return {
    '/v1/sessions/{id}': {
      parameters: [sessionIdParameter],
      get: {
        operationId: 'getSession',
        tags: ['jobs'],
        summary: 'How many turns a session has had, and its newest jobs',
        responses: {
          200: { description: 'The session.', content: jsonContent(sessionViewSchema) },
          ...readProblems,
        },
      },
    },
  };
}

function jobPaths(): JsonObject {
  return {
    '/v1/jobs': { post: submitJob(), get: listJobs() },
    '/v1/jobs:batch': { post: submitJobs() },
    '/v1/jobs/{id}': {
      parameters: [{ $ref: '#/components/parameters/JobId' }],
      get: {
        operationId: 'getJob',
        tags: ['jobs'],
        summary: 'State, result, usage, attempts and trace id of a job',
        responses: {
          200: { description: 'The job.', content: jsonContent(jobViewSchema) },
          ...readProblems,
        },
      },
    },
    '/v1/jobs/{id}/cancel': {
      parameters: [{ $ref: '#/components/parameters/JobId' }],
      post: {
        operationId: 'cancelJob',
        tags: ['jobs'],
        summary: 'Ask for a job to be cancelled; asking again changes nothing',
        description: 'It ends as its runner says: `cancelled`, or what came first.',
        responses: {
          202: { description: 'The job as it stands.', content: jsonContent(jobViewSchema) },
          ...readProblems,
          ...problems('Unavailable'),
        },
      },
    },
    '/v1/jobs/{id}/events': {
      parameters: [{ $ref: '#/components/parameters/JobId' }],
      get: {
        operationId: 'followJob',
        tags: ['jobs'],
        summary: 'Follow a job as server-sent events until it ends',
        description:
          'The server ends a connection after some minutes: connect again with the last id, at ' +
          'any replica. Who comes after the end gets what of the text is missing, of agents and ' +
          'of answers that failed as well, and the end. A day later the events are gone, and the ' +
          'job is not. Each replica counts its streams by itself: after a 429 another has room.',
        parameters: resumeParameters,
        responses: {
          200: {
            description: 'Events of the job, the last one terminal.',
            content: eventStream('Server-sent events: status, tokens as written, the end.'),
          },
          204: { description: 'There is nothing more to come: do not connect again.' },
          ...readProblems,
          ...problems('Gone', 'TooManyRequests'),
        },
      },
    },
    '/v1/jobs/{id}/timeline': {
      parameters: [{ $ref: '#/components/parameters/JobId' }],
      get: {
        operationId: 'getJobTimeline',
        tags: ['jobs'],
        summary: 'Every event of a job in order, with attempts, times and tokens',
        responses: {
          200: { description: 'The timeline.', content: jsonContent(timelineSchema) },
          ...readProblems,
        },
      },
    },
    '/v1/stream': { post: streamJob() },
  };
}

const toldJob: JsonObject = {
  202: {
    description: 'It is on its way to the run; the job as it stands.',
    content: jsonContent(jobViewSchema),
  },
  ...readProblems,
  ...problems('NotToBeTold', 'TooLarge', 'Unavailable'),
};

/** What people tell the runs of agents and documents. */
function runPaths(): JsonObject {
  const job = { $ref: '#/components/parameters/JobId' };
  const tags = ['agents'];
  const part = (name: string): JsonObject => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  });
  return {
    '/v1/jobs/{id}/approvals': {
      parameters: [job],
      get: {
        operationId: 'listApprovals',
        tags,
        summary: 'Tool calls of a run that wait for a person, or waited',
        responses: {
          200: { description: 'Its approvals.', content: jsonContent(approvalListSchema) },
          ...readProblems,
          ...problems('Unavailable'),
        },
      },
    },
    '/v1/jobs/{id}/approvals/{approval_id}': {
      parameters: [job, part('approval_id')],
      post: {
        operationId: 'decideApproval',
        tags,
        summary: 'Agree to a tool call, or reject it with a reason that the model is told',
        requestBody: { required: true, content: jsonContent(approvalDecisionSchema) },
        responses: toldJob,
      },
    },
    '/v1/jobs/{id}/signals/{name}': {
      parameters: [job, part('name')],
      post: {
        operationId: 'signalJob',
        tags,
        summary: 'Tell a run something that it waits for, or will',
        parameters: [idempotencyKeyParameter],
        requestBody: { required: false, content: jsonContent(signalSubmissionSchema) },
        responses: toldJob,
      },
    },
    '/v1/jobs/{id}/fork': { parameters: [job], post: forkJob(), get: compareFork() },
    '/v1/jobs/{id}/budget': {
      parameters: [job],
      post: {
        operationId: 'raiseBudget',
        tags,
        summary: 'Let a run spend more: it goes on if it waits for that',
        parameters: [idempotencyKeyParameter],
        requestBody: { required: true, content: jsonContent(budgetRaiseSchema) },
        responses: toldJob,
      },
    },
  };
}

function forkJob(): JsonObject {
  return {
    operationId: 'forkJob',
    tags: ['agents'],
    summary: 'Run an agent again from one of its steps on, in another way, as a new job',
    description: 'Without `allow_side_effects` its tools of effect `write` are not called.',
    parameters: [idempotencyKeyParameter, traceparentParameter],
    requestBody: { required: true, content: jsonContent(forkSubmissionSchema) },
    responses: {
      202: { description: 'The new job.', content: jsonContent(jobViewSchema) },
      ...submissionProblems,
      ...problems('NotFound', 'Gone'),
    },
  };
}

function compareFork(): JsonObject {
  return {
    operationId: 'compareFork',
    tags: ['agents'],
    summary: 'What a fork did otherwise than its source: cost, turns, tool calls and answer',
    responses: {
      200: { description: 'Both, and the difference.', content: jsonContent(forkComparisonSchema) },
      ...readProblems,
      ...problems('Unavailable'),
    },
  };
}

function toolPaths(): JsonObject {
  const tags = ['agents'];
  const answer = (description: string): JsonObject => ({
    200: { description, content: jsonContent(toolViewSchema) },
    ...changeProblems,
  });
  return {
    '/v1/tools': {
      get: {
        operationId: 'listTools',
        tags,
        summary: 'The tools of this tenant',
        parameters: pageParameters,
        responses: {
          200: { description: 'A page of tools.', content: jsonContent(toolListSchema) },
          ...changeProblems,
        },
      },
    },
    '/v1/tools/{name}': {
      parameters: [
        {
          name: 'name',
          in: 'path',
          required: true,
          schema: { type: 'string', pattern: '^[A-Za-z][A-Za-z0-9_-]{0,63}$' },
        },
      ],
      get: { operationId: 'getTool', tags, summary: 'One tool', responses: answer('The tool.') },
      put: {
        operationId: 'putTool',
        tags,
        summary: 'Register a tool, or make a new version of it; runs keep what they began with',
        requestBody: { required: true, content: jsonContent(toolSubmissionSchema) },
        responses: {
          ...answer('The tool as it now is.'),
          ...problems('Refused', 'TooLarge'),
        },
      },
      delete: {
        operationId: 'deleteTool',
        tags,
        summary: 'Take a tool away; runs that began with it keep it',
        responses: {
          204: { description: 'It is gone.' },
          ...changeProblems,
        },
      },
    },
  };
}

function documentPaths(): JsonObject {
  const tags = ['documents'];
  const file = { schema: { type: 'string', format: 'binary' } };
  return {
    '/v1/documents': {
      get: {
        operationId: 'listDocuments',
        tags,
        summary: 'The documents of this tenant, newest first',
        parameters: pageParameters,
        responses: {
          200: { description: 'A page of them.', content: jsonContent(documentListSchema) },
          ...problems('BadRequest', 'Unauthorized', 'Forbidden', 'Internal'),
        },
      },
      post: {
        operationId: 'uploadDocument',
        tags,
        summary: `Upload a document of at most ${documentBytesMax} bytes; it is kept for 31 days`,
        parameters: [{ name: 'name', in: 'query', schema: { type: 'string', maxLength: 255 } }],
        requestBody: {
          required: true,
          content: Object.fromEntries(documentTypes.map((type) => [type, file])),
        },
        responses: {
          201: { description: 'It is kept.', content: jsonContent(documentViewSchema) },
          ...batchProblems,
          ...problems('Refused'),
        },
      },
    },
    '/v1/documents/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
      get: {
        operationId: 'getDocument',
        tags,
        summary: 'What is known of a document',
        responses: {
          200: { description: 'The document.', content: jsonContent(documentViewSchema) },
          ...readProblems,
        },
      },
      delete: {
        operationId: 'deleteDocument',
        tags,
        summary: 'Forget a document; jobs that have read it go on',
        responses: { 204: { description: 'It is gone.' }, ...readProblems },
      },
    },
  };
}

function submitJob(): JsonObject {
  return {
    operationId: 'submitJob',
    tags: ['jobs'],
    summary: 'Accept a job; it is durable when this answers',
    parameters: [idempotencyKeyParameter, traceparentParameter],
    requestBody: { required: true, content: jsonContent(jobSubmissionSchema) },
    responses: {
      202: {
        description: 'Accepted.',
        headers: {
          Location: { description: 'Where the job is read.', schema: { type: 'string' } },
          [httpHeaders.idempotentReplayed]: {
            description: '`true` when this job was accepted before.',
            schema: { type: 'string', enum: ['true'] },
          },
        },
        content: jsonContent(jobViewSchema),
      },
      ...submissionProblems,
    },
  };
}

function submitJobs(): JsonObject {
  return {
    operationId: 'submitJobs',
    tags: ['jobs'],
    summary: `Accept up to ${jobBatchMax} jobs, each alone good or bad`,
    description: `The \`${httpHeaders.idempotencyKey}\` of the job at index n is \`<key>/<n>\`.`,
    parameters: [idempotencyKeyParameter, traceparentParameter],
    requestBody: { required: true, content: jsonContent(jobBatchSchema) },
    responses: {
      200: {
        description: 'A result for each job, in order.',
        content: jsonContent(jobBatchAnswerSchema),
      },
      ...batchProblems,
    },
  };
}

function listJobs(): JsonObject {
  const query = (name: string, schema: JsonObject): JsonObject => ({ name, in: 'query', schema });
  return {
    operationId: 'listJobs',
    tags: ['jobs'],
    summary: 'Jobs of this tenant, newest first',
    description: boundedPages,
    parameters: [
      query('status', { type: 'string', enum: jobStatuses }),
      query('type', { type: 'string', enum: jobTypes }),
      query('session_id', { type: 'string' }),
      query('cursor', { type: 'string', description: '`next_cursor` of the page before.' }),
      query('limit', {
        type: 'integer',
        minimum: 1,
        maximum: jobListLimitMax,
        default: jobListLimitDefault,
      }),
    ],
    responses: {
      200: { description: 'A page of jobs.', content: jsonContent(jobListSchema) },
      ...problems('BadRequest', 'Unauthorized', 'Forbidden', 'Internal'),
    },
  };
}

function streamJob(): JsonObject {
  return {
    operationId: 'streamJob',
    tags: ['jobs'],
    summary: 'Submit a job and read its tokens as they are written',
    description: 'A durable job underneath: it goes on when the client goes away.',
    parameters: [idempotencyKeyParameter, traceparentParameter],
    requestBody: { required: true, content: jsonContent(streamRequestSchema) },
    responses: {
      200: {
        description: 'Tokens, then `[DONE]`.',
        headers: {
          [httpHeaders.jobId]: {
            description: 'The job behind this stream.',
            schema: { type: 'string', maxLength: jobIdLengthMax },
          },
        },
        content: eventStream('`data: {"token": "…"}` for each piece, at last `data: [DONE]`.'),
      },
      ...submissionProblems,
    },
  };
}

function redriveDeadLetter(): JsonObject {
  return {
    operationId: 'redriveDeadLetter',
    tags: ['dead letters'],
    summary: 'Try again what was given up',
    description:
      'A record that never became a job is published again as it was, a failed job is done again ' +
      'as a new one, a webhook is delivered again under its `webhook-id`. The same request again ' +
      'changes nothing.',
    requestBody: { required: false, content: jsonContent(redriveSubmissionSchema) },
    responses: {
      202: {
        description: 'It is on its way, from this request or from the same one before.',
        content: jsonContent(redriveViewSchema),
      },
      ...readProblems,
      ...problems('ChangedMeanwhile', 'Unavailable'),
    },
  };
}

function redriveDeadLetters(): JsonObject {
  return {
    operationId: 'redriveDeadLetters',
    tags: ['dead letters'],
    summary: `Try up to ${redriveBatchMax} dead letters again, each alone good or bad`,
    description:
      'Oldest first and one after another, for some seconds at most. Repeated after a crash it ' +
      'goes on: what was redriven is not redriven again.',
    requestBody: { required: true, content: jsonContent(redriveBatchSchema) },
    responses: {
      200: {
        description: 'A result for each letter that was come to, and whether there are more.',
        content: jsonContent(redriveBatchAnswerSchema),
      },
      ...problems('BadRequest', 'Unauthorized', 'Internal', 'Unavailable'),
    },
  };
}

const deadLetterQuery: JsonObject[] = [
  ['topic', { type: 'string' }],
  ['code', { type: 'string', description: 'The reason.' }],
  ['service', { type: 'string', description: 'The one that gave up.' }],
  ['from', { type: 'string', format: 'date-time' }],
  ['to', { type: 'string', format: 'date-time' }],
  ['redriven', { type: 'string', enum: ['true', 'false'] }],
].map(([name = '', schema = '']): JsonObject => ({ name, in: 'query', schema }));

function deadLetterPaths(): JsonObject {
  const tags = ['dead letters'];
  return {
    '/v1/dead-letters': {
      get: {
        operationId: 'listDeadLetters',
        tags,
        summary: 'Records of this tenant that nobody could use, newest first',
        description: 'The operator’s key shows those that belong to no tenant, here and below.',
        parameters: [...deadLetterQuery, ...pageParameters],
        responses: {
          200: { description: 'A page of them.', content: jsonContent(deadLetterListSchema) },
          ...problems('BadRequest', 'Unauthorized', 'Internal'),
        },
      },
    },
    '/v1/dead-letters:redrive': { post: redriveDeadLetters() },
    '/v1/dead-letters/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
      get: {
        operationId: 'getDeadLetter',
        tags,
        summary: 'A dead letter whole: headers, key and value of the record, and the reason',
        responses: {
          200: { description: 'The dead letter.', content: jsonContent(deadLetterViewSchema) },
          ...readProblems,
        },
      },
    },
    '/v1/dead-letters/{id}/redrive': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
      post: redriveDeadLetter(),
    },
  };
}

function redeliveryPaths(): JsonObject {
  const tags = ['redeliveries'];
  return {
    '/v1/redeliveries': {
      post: {
        operationId: 'redeliver',
        tags,
        summary: 'Tell again how jobs ended that ended since a time, 29 days ago at most',
        description:
          'In the background: each terminal event is published to `jobs.finished.v1` again, with ' +
          'the `ce_id` that it had. A webhook that was made before is not sent again, one that ' +
          'was never made is. One redelivery of a tenant runs at a time: the same request again ' +
          'is answered with the one that runs.',
        parameters: [idempotencyKeyParameter],
        requestBody: { required: true, content: jsonContent(redeliverySubmissionSchema) },
        responses: {
          202: {
            description: 'It runs.',
            headers: {
              Location: { description: 'Where it is read.', schema: { type: 'string' } },
              [httpHeaders.idempotentReplayed]: replayedHeader,
            },
            content: jsonContent(redeliveryViewSchema),
          },
          ...changeProblems,
          ...problems('RedeliveryRefused'),
        },
      },
      get: {
        operationId: 'listRedeliveries',
        tags,
        summary: 'Redeliveries of this tenant, newest first, for 30 days',
        parameters: pageParameters,
        responses: {
          200: { description: 'A page of them.', content: jsonContent(redeliveryListSchema) },
          ...problems('BadRequest', 'Unauthorized', 'Forbidden', 'Internal'),
        },
      },
    },
    '/v1/redeliveries/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
      get: {
        operationId: 'getRedelivery',
        tags,
        summary: 'How far a redelivery is',
        responses: {
          200: { description: 'The redelivery.', content: jsonContent(redeliveryViewSchema) },
          ...readProblems,
        },
      },
    },
  };
}

const replayedHeader: JsonObject = {
  description: '`true` when the same request was accepted before.',
  schema: { type: 'string', enum: ['true'] },
};

const pageParameters: JsonObject[] = [
  {
    name: 'cursor',
    in: 'query',
    description: '`next_cursor` of the page before.',
    schema: { type: 'string' },
  },
  {
    name: 'limit',
    in: 'query',
    schema: {
      type: 'integer',
      minimum: 1,
      maximum: jobListLimitMax,
      default: jobListLimitDefault,
    },
  },
];

const changeProblems = problems(
  'BadRequest',
  'Unauthorized',
  'Forbidden',
  'NotFound',
  'Internal',
  'Unavailable',
);

const boundedPages =
  'Of many only so many are looked at for those that are asked for: a page may have fewer than' +
  ' its `limit`, or none, and a `next_cursor` to look on from.';

const sharedParts: SharedParts = {
  pageParameters,
  boundedPages,
  problems: changeProblems,
  problem: problems,
};

/** The operator's alone. */
function tenantPaths(): JsonObject {
  const tags = ['tenants'];
  const parameters: JsonObject[] = [
    { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
  ];
  const answer = (description: string, schema: z.ZodType): JsonObject => ({
    200: { description, content: jsonContent(schema) },
    ...changeProblems,
  });
  return {
    '/v1/tenants': {
      post: {
        operationId: 'createTenant',
        tags,
        summary: 'Make a tenant; needs the operator’s key, as every route of tenants',
        requestBody: { required: true, content: jsonContent(tenantSubmissionSchema) },
        responses: {
          201: {
            description: 'The tenant, with its signing secret, which is shown once.',
            content: jsonContent(tenantWithSecretSchema),
          },
          ...changeProblems,
          ...problems('Refused'),
        },
      },
      get: {
        operationId: 'listTenants',
        tags,
        summary: 'Tenants, newest first',
        parameters: pageParameters,
        responses: answer('A page of tenants.', tenantListSchema),
      },
    },
    '/v1/tenants/{id}': {
      parameters,
      get: {
        operationId: 'getTenant',
        tags,
        summary: 'One tenant',
        responses: answer('The tenant.', tenantViewSchema),
      },
      delete: {
        operationId: 'disableTenant',
        tags,
        summary: 'Disable a tenant: its keys stop working, its topic waits, nothing is deleted',
        responses: answer('The tenant.', tenantViewSchema),
      },
    },
    '/v1/tenants/{id}/enable': {
      parameters,
      post: {
        operationId: 'enableTenant',
        tags,
        summary: 'Enable a tenant again: its keys work, its topic goes on where it stood',
        responses: answer('The tenant.', tenantViewSchema),
      },
    },
    '/v1/tenants/{id}/rotate-webhook-secret': {
      parameters,
      post: {
        operationId: 'rotateWebhookSecret',
        tags,
        summary: 'Give a tenant a new signing secret',
        requestBody: { required: false, content: jsonContent(secretRotationSchema) },
        responses: answer('The tenant, with the new secret.', tenantWithSecretSchema),
      },
    },
  };
}

function apiKeyPaths(): JsonObject {
  const tags = ['tenants'];
  const tenant: JsonObject = {
    name: 'tenant',
    in: 'query',
    description: 'Whose keys: for the operator, who must say it.',
    schema: { type: 'string' },
  };
  return {
    '/v1/api-keys': {
      post: {
        operationId: 'createApiKey',
        tags,
        summary: 'Make an API key of a tenant',
        requestBody: { required: true, content: jsonContent(apiKeySubmissionSchema) },
        responses: {
          201: {
            description: 'The key, which is shown once.',
            content: jsonContent(newApiKeySchema),
          },
          ...changeProblems,
          ...problems('Refused'),
        },
      },
      get: {
        operationId: 'listApiKeys',
        tags,
        summary: 'Keys of a tenant, revoked ones too, newest first; never the keys themselves',
        parameters: [tenant, ...pageParameters],
        responses: {
          200: { description: 'A page of keys.', content: jsonContent(apiKeyListSchema) },
          ...changeProblems,
        },
      },
    },
    '/v1/api-keys/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
      delete: {
        operationId: 'revokeApiKey',
        tags,
        summary: 'Revoke a key; again is the same. Other replicas follow within 10 seconds',
        parameters: [tenant],
        responses: {
          200: { description: 'The key.', content: jsonContent(apiKeyViewSchema) },
          ...changeProblems,
        },
      },
    },
  };
}

function operationPaths(): JsonObject {
  const open = (operationId: string, summary: string, content: JsonObject): JsonObject => ({
    get: {
      operationId,
      tags: ['operations'],
      summary,
      security: [],
      responses: { 200: { description: 'OK', content } },
    },
  });
  const json = { 'application/json': { schema: { type: 'object' } } };
  return {
    '/healthz': open('getHealth', 'Whether this process lives, and what it is', json),
    '/readyz': {
      get: {
        operationId: 'getReadiness',
        tags: ['operations'],
        summary: 'Whether this process can do its work',
        security: [],
        responses: {
          200: { description: 'Every check passes.', content: json },
          503: { description: 'A check fails; the body names it.', content: json },
        },
      },
    },
    '/metrics': open('getMetrics', 'Prometheus metrics', {
      'text/plain': { schema: { type: 'string' } },
    }),
    '/openapi.json': open('getOpenApi', 'This document', json),
    '/asyncapi.json': open('getAsyncApi', 'The Kafka topics as AsyncAPI 3', json),
  };
}

function callbackWebhook(): JsonObject {
  const header = (name: string, description: string): JsonObject => ({
    name,
    in: 'header',
    required: true,
    description,
    schema: { type: 'string' },
  });
  return {
    post: {
      operationId: 'jobFinished',
      tags: ['jobs'],
      summary: 'Sent to the `callback_url` of a job when the job has ended',
      security: [],
      parameters: [
        header(webhookHeaders.id, 'The same for every attempt: deduplicate by it.'),
        header(webhookHeaders.timestamp, 'Seconds since the epoch.'),
        header(webhookHeaders.signature, 'Standard Webhooks, `v1,…`.'),
        header(webhookHeaders.hexSignature, 'Lower-case hex HMAC-SHA256 of the raw body.'),
        { ...traceparentParameter, description: 'The trace of the job.' },
      ],
      requestBody: { required: true, content: jsonContent(callbackBodySchema) },
      responses: {
        '2XX': { description: 'Received. Anything else is tried again.' },
        410: { description: 'Do not send this again.' },
      },
    },
  };
}
