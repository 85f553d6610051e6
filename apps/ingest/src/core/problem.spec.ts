import { describe, expect, it } from '@jest/globals';

import { errorOfNoRoute, errorOfStatus, problemDocument } from './problem.ts';

const request = { traceId: '0af7651916cd43dd8448eb211c80319c', path: '/' };

describe('what the HTTP server finds by itself', () => {
  it.each([400, 404, 405, 408, 410, 413, 415, 429, 431, 500, 503])(
    'is a document of the status that it is answered with: %i',
    (status) => {
      expect(problemDocument(errorOfStatus(status), request).status).toBe(status);
    },
  );

  it('says of a path that is no route where the routes are listed', () => {
    expect(errorOfStatus(404).detail).toContain('/openapi.json');
    expect(errorOfNoRoute([])).toEqual(errorOfStatus(404));
  });

  it('says of a path that is one which methods it takes', () => {
    const told = errorOfNoRoute(['GET', 'HEAD']);
    expect(told.code).toBe('method_not_allowed');
    expect(told.detail).toContain('GET, HEAD');
  });
});
