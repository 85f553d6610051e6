import { describe, expect, it } from '@jest/globals';

import { outboxColumns, outboxInsertSql } from './outbox-rows.ts';

describe('outbox rows', () => {
  it('are one array per column, keyed by topic and ce_id', () => {
    const value = Buffer.from('{}');
    expect(
      outboxColumns([
        { topic: 't', key: 'k', headers: { ce_id: '1' }, value },
        { topic: 't', key: null, headers: { ce_id: '2' }, value: null },
      ]),
    ).toEqual([
      ['t/1', 't/2'],
      ['t', 't'],
      ['k', null],
      ['{"ce_id":"1"}', '{"ce_id":"2"}'],
      [value, null],
    ]);
  });

  it('are inserted by five parameters from the one given', () => {
    const sql = outboxInsertSql('worker', 4);
    expect(sql).toMatch(/^INSERT INTO worker\.outbox /);
    expect(sql.match(/\$\d+/g)).toEqual(['$4', '$5', '$6', '$7', '$8']);
  });
});
