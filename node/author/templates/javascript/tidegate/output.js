// What a transform puts out for the record at hand. It stays as it is unless something is called.

const KEEP = 0;
const DROP = 1;
const REPLACE = 2;
const NULL = 3;
const encoder = new TextEncoder();

export class Output {
  constructor(count) {
    this.tags = new Uint8Array(count);
    this.made = [];
    this.record = 0;
  }

  /** The record is dropped. */
  drop() {
    this.tags[this.record] = DROP;
  }

  /** The value becomes null. */
  nullValue() {
    this.tags[this.record] = NULL;
  }

  /** Another value, text or bytes. */
  replace(value) {
    this.tags[this.record] = REPLACE;
    this.made[this.record] = typeof value === 'string' ? encoder.encode(value) : value;
  }

  begin(record) {
    this.record = record;
  }

  /** The columns of the answer; a record that failed leaves nothing behind. */
  finish(failed) {
    for (const { record } of failed) this.tags[record] = KEEP;
    const values = this.made.filter((_, i) => this.tags[i] === REPLACE);
    const ends = new Uint32Array(values.length);
    let length = 0;
    values.forEach((value, i) => (ends[i] = length += value.length));
    const bytes = new Uint8Array(length);
    values.forEach((value, i) => bytes.set(value, i ? ends[i - 1] : 0));
    return { tags: this.tags, values: bytes, valueEnds: ends };
  }
}
