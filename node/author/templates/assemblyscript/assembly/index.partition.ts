// The exports of a partition: the loop between the columns and the function over a record.

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

export function partition(args: usize): usize {
  abi.begin();
  const count = load<u32>(args);
  const chosen = heap.alloc(count << 2);
  for (let i: u32 = 0; i < count; i++) {
    record.read(args, i);
    const partition = plugin.partition(record);
    store<u32>(chosen + (i << 2), abi.noteFailure(record) ? 0 : partition);
  }
  abi.putList(8, chosen, count);
  abi.putFailures(16);
  abi.release(args);
  return abi.ANSWER;
}

export function cabi_post_partition(answer: usize): void {
  heap.free(load<u32>(answer, 8));
  abi.finish();
}
