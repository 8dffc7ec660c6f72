// The exports of a partitioner: the loop between the columns and the function over a record.
import { forEach } from './tidegate/record.js';
import * as plugin from './plugin.js';

export function configure(config) {
  return plugin.configure(JSON.parse(config));
}

export function partition(batch, context) {
  const partitions = new Uint32Array(batch.count);
  const failed = forEach(batch, context, (record, i) => {
    partitions[i] = plugin.partition(record);
  });
  return { tag: 'chosen', val: { partitions, failed } };
}
