// A record, read in place from the columns that the node hands over.

/** The parts of a record that are read; the fewer, the faster. */
export namespace Columns {
  export const TIMESTAMPS: u8 = 1;
  export const KEYS: u8 = 2;
  export const VALUES: u8 = 4;
  export const HEADERS: u8 = 8;
}

/** Bytes in memory; they are the plugin's until it returns. */
export class Bytes {
  ptr: usize = 0;
  len: i32 = 0;
  isNull: bool = true;

  /** As text; null where it is null. */
  text(): string | null {
    return this.isNull ? null : String.UTF8.decodeUnsafe(this.ptr, this.len);
  }

  set(bytes: usize, ends: usize, index: u32): void {
    const start = index ? load<u32>(ends + ((index - 1) << 2)) : 0;
    this.ptr = bytes + start;
    this.len = load<u32>(ends + (index << 2)) - start;
    this.isNull = false;
  }
}

/** One record of a batch; there is one object for all of them. */
export class Record {
  /** Its index in the batch. */
  index: u32 = 0;
  /** Milliseconds since 1970; -1 where it has none. */
  timestamp: i64 = -1;
  key: Bytes = new Bytes();
  value: Bytes = new Bytes();
  /** (u32 name length, u32 value length, name, value)*; 0xffffffff is a null value. */
  headers: Bytes = new Bytes();
  /** The partition that the batch was sent to, and how many the topic has. */
  partition: u32 = 0;
  partitions: u32 = 1;
  /** The same whenever the same batch is run; the only source of randomness. */
  seed: u64 = 0;
  /** Why it could not be handled. */
  failure: string | null = null;

  /** The plugin cannot handle this record; what it answers for it is of no account. */
  fail(reason: string): void {
    this.failure = reason;
  }

  /** Reads record `index` of what lies at `args`, as the contract lays it out. */
  read(args: usize, index: u32): void {
    const nulls = load<u32>(args, 64) ? load<u8>(load<u32>(args, 60) + index) : 0;
    this.index = index;
    this.failure = null;
    this.timestamp = load<u32>(args, 8) ? load<i64>(load<u32>(args, 4) + (index << 3)) : -1;
    this.key.isNull = this.value.isNull = this.headers.isNull = true;
    if (load<u32>(args, 24) && !(nulls & 1)) {
      this.key.set(load<u32>(args, 12), load<u32>(args, 20), index);
    }
    if (load<u32>(args, 40) && !(nulls & 2)) {
      this.value.set(load<u32>(args, 28), load<u32>(args, 36), index);
    }
    if (load<u32>(args, 56)) {
      this.headers.set(load<u32>(args, 44), load<u32>(args, 52), index);
    }
    this.partition = load<u32>(args, 80);
    this.partitions = load<u32>(args, 84);
    this.seed = load<u64>(args, 88);
  }
}
