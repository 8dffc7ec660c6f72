// What a transform puts out for the record at hand. It stays as it is unless something is called.

import * as abi from "./abi";

const KEEP: u8 = 0;
const DROP: u8 = 1;
const REPLACE: u8 = 2;
const NULL: u8 = 3;

export class Output {
  private tag: u8 = KEEP;
  private start: i32 = 0;
  private values: abi.Column = new abi.Column();
  private ends: abi.Column = new abi.Column();

  /** The record is dropped. */
  drop(): void {
    this.tag = DROP;
  }

  /** The value becomes null. */
  nullValue(): void {
    this.tag = NULL;
  }

  /** Appends to the record's new value; the first call replaces the old one. */
  write(ptr: usize, len: i32): void {
    this.tag = REPLACE;
    this.values.append(ptr, len);
  }

  begin(): void {
    this.values.len = this.ends.len = 0;
  }

  next(): void {
    this.tag = KEEP;
    this.start = this.values.len;
  }

  /** The tag of the record; one that failed leaves nothing behind. */
  end(failed: bool): u8 {
    if (failed) this.tag = KEEP;
    if (this.tag == REPLACE) {
      const at = this.ends.add(4);
      store<u32>(at, this.values.len);
    } else {
      this.values.len = this.start;
    }
    return this.tag;
  }

  put(offset: usize): void {
    abi.putList(offset, this.values.ptr, this.values.len);
    abi.putList(offset + 8, this.ends.ptr, this.ends.len >> 2);
  }
}
