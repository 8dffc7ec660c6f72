// The exports of a transform: the loop between the columns and the function over a record.
import { forEach } from './tidegate/record.js';
import { Output } from './tidegate/output.js';
import * as plugin from './plugin.js';

export function configure(config) {
  return plugin.configure(JSON.parse(config));
}

export function transform(batch, context) {
  const out = new Output(batch.count);
  const failed = forEach(batch, context, (record, i) => {
    out.begin(i);
    plugin.transform(record, out);
  });
  return { tag: 'tagged', val: { ...out.finish(failed), failed } };
}
