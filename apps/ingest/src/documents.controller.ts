import { asyncApiDocument, openApiDocument } from '@millrace/contracts';
import { Controller, Get } from '@nestjs/common';

/** The contracts in machine-readable form, made once from the schemas that are enforced. */
@Controller()
export class DocumentsController {
  private readonly openApi = openApiDocument();
  private readonly asyncApi = asyncApiDocument();

  @Get('openapi.json')
  openApiJson(): unknown {
    return this.openApi;
  }

  @Get('asyncapi.json')
  asyncApiJson(): unknown {
    return this.asyncApi;
  }
}
