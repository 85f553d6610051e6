import { describe, expect, it } from '@jest/globals';
import { pdf, zipBomb } from '@millrace/testing';

import { DocumentTexts, ReadingStopped } from './document-texts.ts';

const texts = new DocumentTexts();
const { signal } = new AbortController();

const read = (bytes: Buffer | string, form: 'text' | 'html' | 'pdf') =>
  texts.textOf(Buffer.from(bytes), form, signal);

describe('the text of a document', () => {
  it('is a plain one as it stands, line ends apart', async () => {
    expect(await read('# Title\r\n\r\nText: ä 😀\u0000', 'text')).toEqual({
      ok: true,
      text: '# Title\n\nText: ä 😀',
    });
  });

  it('is what a page of HTML shows', async () => {
    const page =
      '<html><head><style>p{}</style><script>alert(1)</script></head><body>' +
      '<h1>Title</h1><p>One &amp; <a href="https://example.com">two</a></p></body></html>';
    expect(await read(page, 'html')).toEqual({ ok: true, text: 'Title\n\nOne & two' });
  });

  it('is that of all pages of a PDF', async () => {
    expect(await read(pdf({ pages: ['First page', 'Second page'] }), 'pdf')).toEqual({
      ok: true,
      text: 'First page\n\nSecond page',
    });
  });

  it.each([
    ['an empty text', Buffer.from(' \n '), 'text', 'empty_document'],
    ['a PDF without text', pdf({ pages: [''] }), 'pdf', 'empty_document'],
    ['an encrypted PDF', pdf({ pages: ['x'], encrypted: true }), 'pdf', 'encrypted_document'],
    ['something that is no PDF', Buffer.from('%PDF-1.7 no'), 'pdf', 'unreadable_document'],
    ['a text that is not UTF-8', Buffer.from([0x66, 0xff, 0xfe]), 'text', 'unreadable_document'],
    ['a page that is not UTF-8', Buffer.from([0x70, 0x3e, 0xe9]), 'html', 'unreadable_document'],
  ] as const)('of %s there is none, and it says why', async (_, bytes, form, code) => {
    expect(await read(bytes, form)).toMatchObject({ ok: false, code });
  });

  it('says which encoding it has to have', async () => {
    const detail = 'it is not text in UTF-8';
    expect(await read(Buffer.from([0xe9]), 'text')).toMatchObject({ detail });
  });

  it('of a zip bomb there is none, and this process lives on', async () => {
    const bomb = zipBomb();
    const begun = performance.now();
    expect(await read(bomb, 'pdf')).toMatchObject({ ok: false, code: 'document_too_large' });
    expect(performance.now() - begun).toBeLessThan(70_000);
  }, 120_000);

  it('of a page whose elements fill the memory of a thread there is none', async () => {
    const page = '<b>a</b>'.repeat(4_000_000);
    expect(await read(page, 'html')).toMatchObject({ ok: false, code: 'document_too_large' });
  }, 120_000);

  it('is not waited for by one who has gone', async () => {
    const stopping = new AbortController();
    const reading = texts.textOf(pdf({ pages: ['x'] }), 'pdf', stopping.signal);
    stopping.abort();
    await expect(reading).rejects.toThrow(ReadingStopped);
    expect(await read('Still here.', 'text')).toMatchObject({ ok: true });
  });
});
