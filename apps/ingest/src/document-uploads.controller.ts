import { Readable } from 'node:stream';

import { documentIdSchema, type DocumentList, type DocumentView } from '@millrace/contracts';
import { Controller, Delete, Get, HttpCode, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

import { documentQuerySchema, documentTypeOf, uploadQuerySchema } from './core/document-upload.ts';
import { pageOf } from './core/list-cursor.ts';
import { parseInput } from './core/parse-body.ts';
import { ProblemError } from './core/problem.ts';
import { DocumentUploads } from './document-uploads.ts';
import { Documents } from './ports.ts';
import { RequestFacts } from './request-facts.ts';

/** `/v1/documents`: what jobs of type `document` are about. */
@Controller('v1/documents')
export class DocumentUploadsController {
  constructor(
    private readonly uploads: DocumentUploads,
    private readonly documents: Documents,
    private readonly requests: RequestFacts,
  ) {}

  @Post()
  async upload(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const { name } = parseInput(uploadQuerySchema, request.query);
    const contentType = documentTypeOf(request.headers['content-type']);
    const { body } = request;
    if (!(body instanceof Readable)) throw new ProblemError('invalid_request', 'there is no body');
    const tenant = this.requests.tenantOf(request);
    const document = await this.uploads.take({ tenant, name, contentType, body });
    void reply.status(201).header('location', `/v1/documents/${document.id}`).send(document);
  }

  @Get()
  async list(@Req() request: FastifyRequest): Promise<DocumentList> {
    const query = parseInput(documentQuerySchema, request.query);
    const found = await this.documents.list(this.requests.tenantOf(request), query);
    return pageOf(found, query.limit, ({ created_at }) => Date.parse(created_at));
  }

  /** Another tenant's document is not there, as one that never was. */
  @Get(':id')
  async get(@Req() request: FastifyRequest, @Param('id') id: string): Promise<DocumentView> {
    const tenant = this.requests.tenantOf(request);
    const isId = documentIdSchema.safeParse(id).success;
    const document = isId ? await this.documents.find(tenant, id) : null;
    if (document === null) throw noDocument();
    return document;
  }

  @Delete(':id')
  @HttpCode(204)
  async remove(@Req() request: FastifyRequest, @Param('id') id: string): Promise<void> {
    const tenant = this.requests.tenantOf(request);
    const isId = documentIdSchema.safeParse(id).success;
    if (!isId || !(await this.documents.remove(tenant, id))) throw noDocument();
  }
}

function noDocument(): ProblemError {
  return new ProblemError('not_found', 'there is no document of this id');
}
