// A record, read in place from the columns that the node hands over.

const NULL_KEY = 1;
const NULL_VALUE = 2;
const decoder = new TextDecoder();

/** Thrown by a plugin that cannot handle a record; anything else that is thrown counts as well. */
export class RecordFailure extends Error {}

export class Record {
  constructor(batch, context) {
    this.batch = batch;
    this.context = context;
    this.index = 0;
  }

  /** Milliseconds since 1970; -1n where it has none. */
  get timestamp() {
    return this.batch.timestamps.length ? this.batch.timestamps[this.index] : -1n;
  }

  /** The key as bytes; null where it is null. */
  get key() {
    return this.#item(this.batch.keys, this.batch.keyEnds, NULL_KEY);
  }

  /** The value as bytes; null where it is null. */
  get value() {
    return this.#item(this.batch.values, this.batch.valueEnds, NULL_VALUE);
  }

  /** The value as text; null where it is null. */
  get text() {
    const value = this.value;
    return value === null ? null : decoder.decode(value);
  }

  /** (u32 name length, u32 value length, name, value)*; 0xffffffff is a null value. */
  get headers() {
    return this.#item(this.batch.headers, this.batch.headerEnds, 0);
  }

  /** How many partitions the topic has. */
  get partitions() {
    return this.context.partitions;
  }

  #item(bytes, ends, isNull) {
    const i = this.index;
    if (!ends.length || (this.batch.nulls.length && this.batch.nulls[i] & isNull)) return null;
    return bytes.subarray(i ? ends[i - 1] : 0, ends[i]);
  }
}

/** Runs a function over each record; gives those over which it threw. */
export function forEach(batch, context, run) {
  const record = new Record(batch, context);
  const failed = [];
  for (let i = 0; i < batch.count; i++) {
    record.index = i;
    try {
      run(record, i);
    } catch (error) {
      failed.push({ record: i, reason: error.message ?? String(error) });
    }
  }
  return failed;
}
