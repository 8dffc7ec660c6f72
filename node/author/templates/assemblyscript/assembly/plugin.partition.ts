// Sends the records whose JSON field `value` is above a limit to the last partition, all
// others to the first.
//
// A record without a number in that field fails; how a plugin is attached decides what becomes of
// those.

import { FieldName, fieldNumber, findField } from "./tidegate/json";
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

export function partition(record: Record): u32 {
  return isHot(record) ? record.partitions - 1 : 0;
}
