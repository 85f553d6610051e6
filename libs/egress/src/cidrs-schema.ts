import { z } from 'zod';

import { assertCidr } from './blocked-reason.ts';

/** Ranges of addresses, as a service's environment names them. */
export const cidrsSchema = z.array(
  z.string().refine(isCidr, { message: 'must be CIDRs such as 127.0.0.0/8' }),
);

function isCidr(text: string): boolean {
  try {
    assertCidr(text);
    return true;
  } catch {
    return false;
  }
}
