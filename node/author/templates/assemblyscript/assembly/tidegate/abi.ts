// What crosses the border, as the canonical ABI lays out the records of wit/plugin.wit.

import { Record } from "./record";

/** Where answers lie; the largest has 112 bytes. */
export const ANSWER: usize = memory.data(112, 8);
const CONFIGURED: usize = memory.data(12, 4);

/** The lists that a batch is handed over as, by the offset of their pointers. */
const LISTS: StaticArray<i32> = [4, 12, 20, 28, 36, 44, 52, 60, 72];

export function realloc(old: usize, size: usize): usize {
  return old ? heap.realloc(old, size) : heap.alloc(size);
}

/** What was handed over is the guest's to free. */
export function release(args: usize): void {
  for (let i = 0; i < LISTS.length; i++) {
    const at = args + LISTS[i];
    if (load<u32>(at, 4)) heap.free(load<u32>(at));
  }
  heap.free(args);
}

/** A column that grows. */
export class Column {
  ptr: usize = 0;
  len: i32 = 0;
  room: i32 = 0;

  /** Makes room for `more` bytes and tells where they go. */
  add(more: i32): usize {
    const len = this.len + more;
    if (len > this.room) {
      this.room = max(len, this.room * 2);
      this.ptr = realloc(this.ptr, this.room);
    }
    const at = this.ptr + this.len;
    this.len = len;
    return at;
  }

  append(ptr: usize, len: i32): void {
    const at = this.add(len);
    memory.copy(at, ptr, len);
  }
}

const failures = new Column();
/** The texts of reasons, until the answer was read. */
const reasons: usize[] = [];

export function begin(): void {
  failures.len = 0;
  store<u32>(ANSWER, 0);
  store<u32>(ANSWER, 0, 4);
}

/** Adds the record to those that failed, if it did. */
export function noteFailure(record: Record): bool {
  const failure = record.failure;
  if (failure === null) return false;
  const bytes = String.UTF8.encode(failure);
  const text = heap.alloc(bytes.byteLength);
  memory.copy(text, changetype<usize>(bytes), bytes.byteLength);
  reasons.push(text);
  const at = failures.add(12);
  store<u32>(at, record.index);
  store<u32>(at, text, 4);
  store<u32>(at, bytes.byteLength, 8);
  return true;
}

/** Writes the list of those that failed to `offset` of the answer. */
export function putFailures(offset: usize): void {
  putList(offset, failures.ptr, failures.len / 12);
}

export function putList(offset: usize, ptr: usize, count: i32): void {
  store<u32>(ANSWER + offset, ptr);
  store<u32>(ANSWER + offset, count, 4);
}

/** Frees what the last answer pointed to. */
export function finish(): void {
  while (reasons.length) heap.free(reasons.pop());
}

/** The answer of `configure`: the columns, or what is wrong. */
export function configured(columns: u8, wrong: string | null): usize {
  store<u32>(CONFIGURED, wrong === null ? 0 : 1);
  if (wrong === null) {
    store<u8>(CONFIGURED, columns, 4);
  } else {
    const bytes = String.UTF8.encode(wrong);
    const text = heap.alloc(bytes.byteLength);
    memory.copy(text, changetype<usize>(bytes), bytes.byteLength);
    store<u32>(CONFIGURED, text, 4);
    store<u32>(CONFIGURED, bytes.byteLength, 8);
  }
  return CONFIGURED;
}
