// The exports of a filter: the loop between the columns and the function over a record.
import { forEach } from './tidegate/record.js';
import * as plugin from './plugin.js';

export function configure(config) {
  return plugin.configure(JSON.parse(config));
}

export function filter(batch, context) {
  const bitmap = new Uint8Array((batch.count + 7) >> 3);
  const failed = forEach(batch, context, (record, i) => {
    if (plugin.keep(record)) bitmap[i >> 3] |= 1 << (i & 7);
  });
  return { tag: 'kept', val: { bitmap, failed } };
}
