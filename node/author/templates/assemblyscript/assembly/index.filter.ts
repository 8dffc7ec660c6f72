// The exports of a filter: the loop between the columns and the function over a record.

import "./tidegate/host";
import * as abi from "./tidegate/abi";
import { Record } from "./tidegate/record";
import * as plugin from "./plugin";

const record = new Record();

export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  return abi.realloc(old, size);
}

export function configure(config: usize, len: usize): usize {
  const wrong = plugin.configure(config, len);
  if (len) heap.free(config);
  return abi.configured(plugin.COLUMNS, wrong);
}

export function cabi_post_configure(answer: usize): void {}

export function filter(args: usize): usize {
  abi.begin();
  const count = load<u32>(args);
  const bytes = (count + 7) >> 3;
  const bitmap = heap.alloc(bytes);
  memory.fill(bitmap, 0, bytes);
  for (let i: u32 = 0; i < count; i++) {
    record.read(args, i);
    const keep = plugin.keep(record);
    if (abi.noteFailure(record) || !keep) continue;
    const at = bitmap + (i >> 3);
    store<u8>(at, load<u8>(at) | (<u8>1 << <u8>(i & 7)));
  }
  abi.putList(8, bitmap, bytes);
  abi.putFailures(16);
  abi.release(args);
  return abi.ANSWER;
}

export function cabi_post_filter(answer: usize): void {
  heap.free(load<u32>(answer, 8));
  abi.finish();
}
