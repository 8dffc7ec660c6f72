// The exports of a transform: the loop between the columns and the function over a record.

import "./tidegate/host";
import * as abi from "./tidegate/abi";
import { Output } from "./tidegate/output";
import { Record } from "./tidegate/record";
import * as plugin from "./plugin";

const record = new Record();
const out = new Output();

export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  return abi.realloc(old, size);
}

export function configure(config: usize, len: usize): usize {
  const wrong = plugin.configure(config, len);
  if (len) heap.free(config);
  return abi.configured(plugin.COLUMNS, wrong);
}

export function cabi_post_configure(answer: usize): void {}

export function transform(args: usize): usize {
  abi.begin();
  out.begin();
  const count = load<u32>(args);
  const tags = heap.alloc(count);
  for (let i: u32 = 0; i < count; i++) {
    record.read(args, i);
    out.next();
    plugin.transform(record, out);
    store<u8>(tags + i, out.end(abi.noteFailure(record)));
  }
  abi.putList(8, tags, count);
  out.put(16);
  abi.putFailures(32);
  abi.release(args);
  return abi.ANSWER;
}

export function cabi_post_transform(answer: usize): void {
  heap.free(load<u32>(answer, 8));
  abi.finish();
}
