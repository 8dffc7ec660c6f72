// Keeps the records whose JSON field `value` is above a limit.
//
// A record without a number in that field fails; how a plugin is attached decides what becomes of
// those.
import { RecordFailure } from './tidegate/record.js';

let above;

/** Takes the configuration; gives the parts of a record that are read, or throws what is wrong. */
export function configure(config) {
  if (typeof config.above !== 'number') throw 'configuration: `above` must be a number';
  above = config.above;
  return { values: true };
}

function isHot(record) {
  let number;
  try {
    number = JSON.parse(record.text).value;
  } catch {
    // Told below.
  }
  if (typeof number !== 'number') throw new RecordFailure('no number in the field value');
  return number > above;
}

export function keep(record) {
  return isHot(record);
}
