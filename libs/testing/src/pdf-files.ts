import { deflateSync } from 'node:zlib';

export interface PdfOptions {
  /** What each page shows; an empty one has no text. */
  readonly pages: readonly string[];
  readonly encrypted?: boolean;
  /** In place of the pages' own content: a stream as it stands in the file. */
  readonly deflated?: Buffer;
}

/** A PDF as small as one may be. */
export function pdf({ pages, encrypted = false, deflated }: PdfOptions): Buffer {
  const kids = pages.map((_, n) => `${4 + n * 2} 0 R`).join(' ');
  const objects: Buffer[] = [
    Buffer.from('<< /Type /Catalog /Pages 2 0 R >>'),
    Buffer.from(`<< /Type /Pages /Kids [${kids}] /Count ${pages.length} >>`),
    Buffer.from('<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>'),
    ...pages.flatMap((text, n) => [
      Buffer.from(
        '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] ' +
          `/Contents ${5 + n * 2} 0 R /Resources << /Font << /F1 3 0 R >> >> >>`,
      ),
      stream(deflated ?? deflateSync(`BT /F1 12 Tf 72 720 Td (${text}) Tj ET`)),
    ]),
  ];
  return assemble(objects, encrypted);
}

/** Some 10 MB of a PDF, whose pages unpack to 10 GiB. */
export function zipBomb(): Buffer {
  const pages = Array.from({ length: 40 }, () => 'x');
  return pdf({ pages, deflated: deflateSync(Buffer.alloc(256 * 1024 * 1024, '0 ')) });
}

function stream(body: Buffer): Buffer {
  const head = `<< /Length ${body.length} /Filter /FlateDecode >>\nstream\n`;
  return Buffer.concat([Buffer.from(head), body, Buffer.from('\nendstream')]);
}

function assemble(objects: readonly Buffer[], encrypted: boolean): Buffer {
  const chunks = [Buffer.from('%PDF-1.4\n')];
  let at = chunks[0]?.length ?? 0;
  const offsets = objects.map((object, n) => {
    const offset = at;
    const chunk = Buffer.concat([
      Buffer.from(`${n + 1} 0 obj\n`),
      object,
      Buffer.from('\nendobj\n'),
    ]);
    chunks.push(chunk);
    at += chunk.length;
    return offset;
  });
  const rows = offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`);
  const size = objects.length + 1;
  chunks.push(
    Buffer.from(
      `xref\n0 ${size}\n0000000000 65535 f \n${rows.join('')}` +
        `trailer\n<< /Size ${size} /Root 1 0 R ${encrypted ? lock : ''} >>\n` +
        `startxref\n${at}\n%%EOF\n`,
    ),
  );
  return Buffer.concat(chunks);
}

/** Made with a password that nobody knows: the keys fit none. */
const lock =
  `/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <${'ab'.repeat(32)}> ` +
  `/U <${'cd'.repeat(32)}> >>` +
  ` /ID [<${'01'.repeat(16)}> <${'01'.repeat(16)}>]`;
