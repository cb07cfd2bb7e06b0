/** Ids of records that people name in a request: what cannot be one is told apart before the store is asked. */

/** Base32, as all ids of ours are (keys.ts, registration-keys.ts, invitation-record.ts, organizations.ts). */
export function isRecordId(text: string): boolean {
  return /^[a-z2-7]{1,64}$/.test(text)
}
