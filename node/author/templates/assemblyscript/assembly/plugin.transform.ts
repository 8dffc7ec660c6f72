// Marks the records whose JSON field `value` is above a limit with `"alarm":true`.
//
// A record without a number in that field fails; how a plugin is attached decides what becomes of
// those.

import { FieldName, fieldNumber, findField } from "./tidegate/json";
import { Output } from "./tidegate/output";
import { Columns, Record } from "./tidegate/record";

/** What is read of a record. */
export const COLUMNS: u8 = Columns.VALUES;

const ABOVE = new FieldName("above");
const VALUE = new FieldName("value");
let above: f64 = 0;

/** Takes the configuration, JSON text; gives null, or what is wrong with it. */
export function configure(config: usize, len: usize): string | null {
  above = findField(config, len, ABOVE) ? fieldNumber() : NaN;
  return isNaN(above) ? "configuration: `above` must be a number" : null;
}

function isHot(record: Record): bool {
  const value = record.value;
  const found = !value.isNull && findField(value.ptr, value.len, VALUE);
  const number = found ? fieldNumber() : NaN;
  if (isNaN(number)) record.fail("no number in the field value");
  return number > above;
}

const MARK = String.UTF8.encode(',"alarm":true}');

export function transform(record: Record, out: Output): void {
  if (!isHot(record)) return;
  let end = record.value.len;
  while (end && load<u8>(record.value.ptr + end - 1) != 0x7d) end--;
  out.write(record.value.ptr, end - 1);
  out.write(changetype<usize>(MARK), MARK.byteLength);
}
