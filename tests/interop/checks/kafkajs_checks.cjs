// kafkajs as its users use it. What it prints is read by driver/script.py.
'use strict';

const { AssertionError, deepStrictEqual, ok, strictEqual } = require('node:assert');
const { randomBytes } = require('node:crypto');
const {
  CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, KafkaJSProtocolError, logLevel,
} = require('kafkajs');

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy');

const bootstrap = process.argv[2];
const wanted = process.argv.slice(3);
const START = 1700000000000;
const checks = [];

const check = (name, body, limit = 60) => checks.push({ name, body, limit });
const unique = (prefix) => `${prefix}-${randomBytes(5).toString('hex')}`;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const numbers = (count) => Array.from({ length: count }, (_, n) => String(n));
const kafka = (more = {}) => new Kafka({
  clientId: 'checks', brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 6 }, ...more,
});

async function until(condition, seconds, what) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new AssertionError({ message: `${what} not within ${seconds} s` });
    await sleep(50);
  }
}

async function withAdmin(body) {
  const admin = kafka().admin();
  await admin.connect();
  try {
    return await body(admin);
  } finally {
    await admin.disconnect();
  }
}

async function topic(prefix, numPartitions = 1, settings = {}) {
  const name = unique(prefix);
  const configEntries = Object.entries(settings).map(([key, value]) => ({ name: key, value: String(value) }));
  const made = { topics: [{ topic: name, numPartitions, replicationFactor: 1, configEntries }] };
  await withAdmin((admin) => admin.createTopics({ ...made, waitForLeaders: true }));
  return name;
}

async function produce(name, messages, sending = {}, producing = {}) {
  const producer = kafka().producer({ allowAutoTopicCreation: true, ...producing });
  await producer.connect();
  try {
    return await producer.send({ topic: name, messages, ...sending });
  } finally {
    await producer.disconnect();
  }
}

const valued = (values, more = {}) => values.map((value) => ({ value, partition: 0, ...more }));

// A group member that keeps what it gets.
async function member(name, groupId = unique('group'), more = {}) {
  const consumer = kafka().consumer({
    groupId, sessionTimeout: 10000, heartbeatInterval: 500, rebalanceTimeout: 15000, maxWaitTimeInMs: 500,
    ...more,
  });
  const got = [];
  const state = { consumer, got, parts: [], joins: 0 };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    state.parts = payload.memberAssignment[name] || [];
    state.joins += 1;
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [name], fromBeginning: true });
  state.run = (options = {}) => consumer.run({
    eachMessage: async ({ partition, message }) => { got.push({ partition, ...message }); }, ...options,
  });
  state.stop = () => consumer.disconnect();
  return state;
}

async function allOf(name, count, more = {}) {
  const reader = await member(name, unique('group'), more);
  await reader.run();
  try {
    await until(() => reader.got.length >= count, 25, `${count} records`);
    return reader.got;
  } finally {
    await reader.stop();
  }
}

const values = (messages) => messages.map((message) => message.value.toString());

async function refused(call, type) {
  try {
    await call;
  } catch (error) {
    const inner = error.errors ? error.errors[0] : (error.cause || error);
    strictEqual(inner.type, type, `refused with ${inner.type || inner.message}, want ${type}`);
    return;
  }
  throw new AssertionError({ message: `was not refused with ${type}` });
}

check('topics_are_made_described_and_deleted', async () => {
  const name = await topic('made', 3);
  await withAdmin(async (admin) => {
    ok((await admin.listTopics()).includes(name), 'it is not listed');
    const { topics: [seen] } = await admin.fetchTopicMetadata({ topics: [name] });
    deepStrictEqual(seen.partitions.map((part) => part.partitionId).sort(), [0, 1, 2]);
    strictEqual(await admin.createTopics({ topics: [{ topic: name }] }), false, 'made twice');
    await admin.deleteTopics({ topics: [name] });
    await until(async () => !(await admin.listTopics()).includes(name), 15, 'the deletion');
  });
});

check('bad_topics_are_refused_each_with_its_error', () => withAdmin(async (admin) => {
  const make = (made) => admin.createTopics({ topics: [{ topic: unique('bad'), numPartitions: 1, ...made }] });
  await refused(make({ topic: 'bad name' }), 'INVALID_TOPIC_EXCEPTION');
  await refused(make({ replicationFactor: 3 }), 'INVALID_REPLICATION_FACTOR');
  await refused(make({ configEntries: [{ name: 'retention.ms', value: 'soon' }] }), 'INVALID_CONFIG');
}));

check('more_partitions', async () => {
  const name = await topic('grow');
  await withAdmin(async (admin) => {
    await admin.createPartitions({ topicPartitions: [{ topic: name, count: 4 }] });
    await until(async () => {
      const { topics: [seen] } = await admin.fetchTopicMetadata({ topics: [name] });
      return seen.partitions.length === 4;
    }, 10, '4 partitions');
  });
});

check('settings_are_described_and_altered', async () => {
  const name = await topic('settings', 1, { 'retention.ms': 7200000 });
  await withAdmin(async (admin) => {
    const settings = async () => {
      const asked = { type: ConfigResourceTypes.TOPIC, name };
      const { resources: [seen] } = await admin.describeConfigs({ resources: [asked], includeSynonyms: false });
      return Object.fromEntries(seen.configEntries.map((entry) => [entry.configName, entry.configValue]));
    };
    strictEqual((await settings())['retention.ms'], '7200000');
    strictEqual((await settings())['cleanup.policy'], 'delete');
    const configEntries = [{ name: 'retention.ms', value: '60000' }];
    await admin.alterConfigs({
      validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name, configEntries }],
    });
    await until(async () => (await settings())['retention.ms'] === '60000', 10, 'the change');
  });
});

check('describes_the_cluster', () => withAdmin(async (admin) => {
  const { brokers, controller, clusterId } = await admin.describeCluster();
  deepStrictEqual(brokers.map((broker) => `${broker.host}:${broker.port}`), [bootstrap]);
  strictEqual(controller, brokers[0].nodeId);
  ok(clusterId, 'no cluster id');
}));

check('offsets_of_topics_and_deleted_records', async () => {
  const name = await topic('offsets');
  await produce(name, numbers(50).map((value, n) => ({ value, partition: 0, timestamp: String(START + n) })));
  await withAdmin(async (admin) => {
    const [before] = await admin.fetchTopicOffsets(name);
    deepStrictEqual([before.low, before.high], ['0', '50']);
    const [found] = await admin.fetchTopicOffsetsByTimestamp(name, START + 20);
    strictEqual(found.offset, '20');
    await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '30' }] });
    const [after] = await admin.fetchTopicOffsets(name);
    deepStrictEqual([after.low, after.high], ['30', '50']);
  });
});

check('groups_are_listed_described_reset_and_deleted', async () => {
  const [name, groupId] = [await topic('groups'), unique('group')];
  await produce(name, valued(numbers(10)));
  const one = await member(name, groupId);
  await one.run();
  await until(() => one.got.length === 10, 20, '10 records');
  await withAdmin(async (admin) => {
    ok((await admin.listGroups()).groups.some((group) => group.groupId === groupId), 'it is not listed');
    const { groups: [seen] } = await admin.describeGroups([groupId]);
    deepStrictEqual([seen.state, seen.members.length], ['Stable', 1]);
    await one.stop();
    const [committed] = await admin.fetchOffsets({ groupId, topics: [name] });
    strictEqual(committed.partitions[0].offset, '10');
    await admin.setOffsets({ groupId, topic: name, partitions: [{ partition: 0, offset: '4' }] });
    const two = await member(name, groupId);
    await two.run();
    await until(() => two.got.length === 6, 20, '6 records');
    strictEqual(two.got[0].offset, '4');
    await two.stop();
    const deleted = await admin.deleteGroups([groupId]);
    deepStrictEqual(deleted.map((group) => group.errorCode), [0]);
  });
});

for (const [codec, type] of Object.entries(CompressionTypes)) {
  // It has no codec of its own for the others.
  if (!['None', 'GZIP', 'Snappy'].includes(codec)) continue;
  check(`codec_${codec.toLowerCase()}`, async () => {
    const name = await topic('codec');
    const sent = numbers(1000).map((n) => `${codec} ${n} ${'x'.repeat(300)}`);
    await produce(name, valued(sent), { compression: type });
    deepStrictEqual(values(await allOf(name, 1000)), sent);
  });
}

for (const acks of [0, 1, -1]) {
  check(`acks_${acks === -1 ? 'all' : acks}`, async () => {
    const name = await topic('acks');
    await produce(name, valued(numbers(500)), { acks });
    deepStrictEqual(values(await allOf(name, 500)), numbers(500));
  });
}

check('idempotent_and_in_order', async () => {
  const name = await topic('idempotent');
  const producer = kafka().producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  for (let n = 0; n < 50; n += 1) {
    const [sent] = await producer.send({ topic: name, messages: valued([String(n)]) });
    strictEqual(sent.baseOffset, String(n));
  }
  await producer.disconnect();
  deepStrictEqual(values(await allOf(name, 50)), numbers(50));
});

check('keys_headers_and_nulls', async () => {
  const name = await topic('headers');
  const headers = { one: 'first', many: ['a', 'b'], bytes: Buffer.from([255, 0]) };
  await produce(name, [{ key: 'k', value: 'v', headers }, { key: 'gone', value: null }, { key: null, value: '' }]);
  const [first, second, third] = await allOf(name, 3);
  strictEqual(first.key.toString(), 'k');
  strictEqual(first.headers.one.toString(), 'first');
  deepStrictEqual(first.headers.many.map(String), ['a', 'b']);
  deepStrictEqual([...first.headers.bytes], [255, 0]);
  strictEqual(second.value, null);
  deepStrictEqual([third.key, third.value.length], [null, 0]);
});

check('keys_choose_partitions', async () => {
  const name = await topic('keys', 4);
  await produce(name, numbers(200).map((value, n) => ({ key: `key-${n % 20}`, value })));
  const places = new Map();
  for (const { key, partition } of await allOf(name, 200)) {
    places.set(String(key), (places.get(String(key)) || new Set()).add(partition));
  }
  deepStrictEqual([...places.values()].map((set) => set.size), Array(20).fill(1));
});

check('timestamps_of_both_kinds', async () => {
  const create = await topic('create-time');
  await produce(create, valued(['x'], { timestamp: String(START) }));
  strictEqual((await allOf(create, 1))[0].timestamp, String(START));
  const append = await topic('append-time', 1, { 'message.timestamp.type': 'LogAppendTime' });
  const before = Date.now();
  await produce(append, valued(['x'], { timestamp: String(START) }));
  const stamp = Number((await allOf(append, 1))[0].timestamp);
  ok(stamp >= before && stamp <= Date.now(), `${stamp} is not the broker's own time`);
});

check('a_record_too_large_is_refused', async () => {
  const name = await topic('large', 1, { 'max.message.bytes': 10000 });
  await refused(produce(name, valued(['x'.repeat(20000)])), 'MESSAGE_TOO_LARGE');
});

check('a_new_topic_is_made_by_its_first_record', async () => {
  const name = unique('auto');
  await produce(name, [{ value: 'x', partition: 3 }]);
  deepStrictEqual(values(await allOf(name, 1)), ['x']);
});

check('seeking', async () => {
  const name = await topic('seek');
  await produce(name, valued(numbers(100)));
  const reader = await member(name);
  await reader.run();
  await until(() => reader.got.length === 100, 20, '100 records');
  reader.consumer.seek({ topic: name, partition: 0, offset: '90' });
  await until(() => reader.got.length === 110, 20, '10 more');
  deepStrictEqual(values(reader.got).slice(100), numbers(100).slice(90));
  await reader.stop();
});

check('pause_and_resume', async () => {
  const name = await topic('pause', 2);
  const reader = await member(name);
  await reader.run();
  await until(() => reader.parts.length === 2, 30, 'an assignment');
  reader.consumer.pause([{ topic: name, partitions: [0] }]);
  await produce(name, [{ value: 'a', partition: 0 }, { value: 'b', partition: 1 }]);
  await until(() => reader.got.length >= 1, 15, 'a record');
  await sleep(1000);
  deepStrictEqual(values(reader.got), ['b']);
  reader.consumer.resume([{ topic: name, partitions: [0] }]);
  await until(() => reader.got.length === 2, 15, 'the other');
  await reader.stop();
});

check('a_group_goes_on_where_it_was', async () => {
  const [name, groupId] = [await topic('resume'), unique('group')];
  await produce(name, valued(numbers(20)));
  const first = await member(name, groupId);
  await first.run({ autoCommit: false });
  await until(() => first.got.length === 20, 20, '20 records');
  await first.consumer.commitOffsets([{ topic: name, partition: 0, offset: '8', metadata: 'eight' }]);
  await first.stop();
  await withAdmin(async (admin) => {
    const [seen] = await admin.fetchOffsets({ groupId, topics: [name] });
    deepStrictEqual([seen.partitions[0].offset, seen.partitions[0].metadata], ['8', 'eight']);
  });
  const second = await member(name, groupId);
  await second.run();
  await until(() => second.got.length === 12, 20, '12 records');
  strictEqual(second.got[0].offset, '8');
  await second.stop();
});

check('two_members_share_then_one_has_all', async () => {
  const [name, groupId] = [await topic('shared', 4), unique('group')];
  const members = [await member(name, groupId), await member(name, groupId)];
  await Promise.all(members.map((one) => one.run()));
  const all = () => members.flatMap((one) => one.parts).sort().join();
  await until(() => members.every((one) => one.parts.length) && all() === '0,1,2,3', 40, 'two with all');
  await produce(name, numbers(80).map((value, n) => ({ value, partition: n % 4 })));
  await until(() => members[0].got.length + members[1].got.length >= 80, 20, '80 records');
  const got = members.flatMap((one) => values(one.got)).map(Number).sort((a, b) => a - b);
  deepStrictEqual(got.map(String), numbers(80));
  await members[0].stop();
  await until(() => members[1].parts.length === 4, 40, 'all partitions at the other');
  await members[1].stop();
}, 120);

check('transactions_commit_and_abort', async () => {
  const name = await topic('txn');
  const producer = kafka().producer({ transactionalId: unique('txn'), maxInFlightRequests: 1, idempotent: true });
  await producer.connect();
  for (const [value, end] of [['kept', 'commit'], ['dropped', 'abort'], ['kept too', 'commit']]) {
    const transaction = await producer.transaction();
    await transaction.send({ topic: name, messages: valued([value]) });
    await transaction[end]();
  }
  await producer.disconnect();
  deepStrictEqual(values(await allOf(name, 2)), ['kept', 'kept too']);
  deepStrictEqual(values(await allOf(name, 3, { readUncommitted: true })), ['kept', 'dropped', 'kept too']);
});

async function main() {
  const chosen = checks.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  console.log(JSON.stringify({ plan: chosen.map(({ name }) => name) }));
  for (const { name, body, limit } of chosen) {
    const began = Date.now();
    let outcome = 'passed';
    let detail = '';
    let timer;
    try {
      const late = new Promise((_, fail) => {
        timer = setTimeout(() => fail(new Error(`not done in ${limit} s`)), limit * 1000);
      });
      await Promise.race([body(), late]);
    } catch (error) {
      outcome = 'failed';
      const inner = error instanceof KafkaJSProtocolError ? `${error.type}: ` : '';
      detail = `${inner}${error.message}`.replace(/\s+/g, ' ').slice(0, 500);
    } finally {
      clearTimeout(timer);
    }
    const seconds = (Date.now() - began) / 1000;
    console.log(`\n${JSON.stringify({ test: name, outcome, seconds, detail })}`);
  }
  // Clients of checks that hung must not keep the process.
  process.exit(0);
}

process.on('unhandledRejection', (error) => console.error(error));
main();
