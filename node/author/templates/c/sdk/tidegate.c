/* The loop between the columns that cross the border and the function over a record. */
#include "tidegate.h"

#include <stdlib.h>
#include <string.h>

#include "abi.h"

/* Built for one kind: -DTIDEGATE_FILTER, -DTIDEGATE_PARTITION or -DTIDEGATE_TRANSFORM. */

IMPORT("tidegate:plugin/host@0.1.0", "log")
void host_log(uint32_t level, const char *message, size_t len);
IMPORT("tidegate:plugin/host@0.1.0", "count")
void host_count(const char *metric, size_t len, uint64_t by);

static void *take(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) {
        host_log(TIDEGATE_ERROR, "out of memory", 13);
        __builtin_trap();
    }
    return memory;
}

EXPORT("cabi_realloc")
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)old_size;
    (void)align; /* malloc aligns for every type of the contract */
    if (!old) return take(size);
    void *memory = realloc(old, size);
    if (!memory) __builtin_trap();
    return memory;
}

/* A column that grows. */
struct column {
    uint8_t *data;
    size_t len, room;
};

static void put(struct column *column, const void *data, size_t len) {
    if (column->room - column->len < len) {
        size_t room = column->room * 2 > column->len + len ? column->room * 2 : column->len + len;
        column->data = cabi_realloc(column->data, column->room, 1, room);
        column->room = room;
    }
    memcpy(column->data + column->len, data, len);
    column->len += len;
}

static struct configured configured;
static struct answer answer;
static struct column failed, out;

EXPORT("configure")
struct configured *configure(char *config, size_t len) {
    uint32_t columns = TIDEGATE_VALUES;
    const char *wrong = tidegate_configure(config, len, &columns);
    free(config);
    configured.is_error = wrong != NULL;
    if (wrong) {
        configured.reason.items = wrong;
        configured.reason.count = strlen(wrong);
    } else {
        configured.columns = columns;
    }
    return &configured;
}

EXPORT("cabi_post_configure")
void post_configure(struct configured *given) { (void)given; }

static void fail(uint32_t record, const char *reason) {
    struct failure failure = {record, {reason, strlen(reason)}};
    put(&failed, &failure, sizeof failure);
}

static tidegate_bytes item(const uint8_t *bytes, const uint32_t *ends, uint32_t i) {
    uint32_t start = i ? ends[i - 1] : 0;
    return (tidegate_bytes){bytes + start, ends[i] - start};
}

static tidegate_record record_of(const struct arguments *in, uint32_t i) {
    const struct batch *batch = &in->batch;
    tidegate_record record = {
        .index = i,
        .timestamp = batch->timestamps.count ? batch->timestamps.items[i] : -1,
        .topic = {in->context.topic.items, in->context.topic.count},
        .partition = in->context.partition,
        .partitions = in->context.partitions,
        .seed = in->context.seed,
    };
    uint8_t nulls = batch->nulls.count ? batch->nulls.items[i] : 0;
    if (batch->key_ends.count && !(nulls & 1))
        record.key = item(batch->keys.items, batch->key_ends.items, i);
    if (batch->value_ends.count && !(nulls & 2))
        record.value = item(batch->values.items, batch->value_ends.items, i);
    if (batch->header_ends.count)
        record.headers = item(batch->headers.items, batch->header_ends.items, i);
    return record;
}

/* What was handed over is the guest's to free. */
static void release(const struct arguments *in) {
    const struct batch *batch = &in->batch;
    const void *lists[] = {
        batch->timestamps.items, batch->keys.items,       batch->key_ends.items,
        batch->values.items,     batch->value_ends.items, batch->headers.items,
        batch->header_ends.items, batch->nulls.items,     in->context.topic.items,
    };
    uint32_t counts[] = {
        batch->timestamps.count, batch->keys.count,       batch->key_ends.count,
        batch->values.count,     batch->value_ends.count, batch->headers.count,
        batch->header_ends.count, batch->nulls.count,     in->context.topic.count,
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (counts[i]) free((void *)lists[i]);
    free((void *)in);
}

static void begin(void) {
    failed.len = out.len = 0;
    answer.is_error = answer.verdict = 0;
}

#ifdef TIDEGATE_FILTER
EXPORT("filter")
struct answer *filter(const struct arguments *in) {
    begin();
    uint32_t count = in->batch.count;
    uint8_t *bitmap = calloc((count + 7) / 8, 1);
    if (!bitmap) __builtin_trap();
    for (uint32_t i = 0; i < count; i++) {
        tidegate_record record = record_of(in, i);
        bool keep = false;
        const char *reason = tidegate_filter(&record, &keep);
        if (reason) fail(i, reason);
        else if (keep) bitmap[i / 8] |= 1 << (i % 8);
    }
    answer.kept.bitmap.items = bitmap;
    answer.kept.bitmap.count = (count + 7) / 8;
    answer.kept.failed.items = (struct failure *)failed.data;
    answer.kept.failed.count = failed.len / sizeof(struct failure);
    release(in);
    return &answer;
}

EXPORT("cabi_post_filter")
void post_filter(struct answer *given) { free((void *)given->kept.bitmap.items); }
#endif

#ifdef TIDEGATE_PARTITION
EXPORT("partition")
struct answer *partition(const struct arguments *in) {
    begin();
    uint32_t count = in->batch.count;
    uint32_t *chosen = take(count * sizeof *chosen);
    for (uint32_t i = 0; i < count; i++) {
        tidegate_record record = record_of(in, i);
        chosen[i] = 0;
        const char *reason = tidegate_partition(&record, &chosen[i]);
        if (reason) fail(i, reason);
    }
    answer.chosen.partitions.items = chosen;
    answer.chosen.partitions.count = count;
    answer.chosen.failed.items = (struct failure *)failed.data;
    answer.chosen.failed.count = failed.len / sizeof(struct failure);
    release(in);
    return &answer;
}

EXPORT("cabi_post_partition")
void post_partition(struct answer *given) { free((void *)given->chosen.partitions.items); }
#endif

#ifdef TIDEGATE_TRANSFORM
enum { KEEP, DROP, REPLACE, MAKE_NULL };
static uint8_t tag;

void tidegate_drop(void) { tag = DROP; }
void tidegate_null_value(void) { tag = MAKE_NULL; }
void tidegate_write(const void *data, size_t len) {
    tag = REPLACE;
    put(&out, data, len);
}

EXPORT("transform")
struct answer *transform(const struct arguments *in) {
    begin();
    uint32_t count = in->batch.count, replaced = 0;
    uint8_t *tags = take(count);
    uint32_t *ends = take(count * sizeof *ends);
    for (uint32_t i = 0; i < count; i++) {
        tidegate_record record = record_of(in, i);
        size_t start = out.len;
        tag = KEEP;
        const char *reason = tidegate_transform(&record);
        if (reason) {
            fail(i, reason);
            tag = KEEP;
        }
        if (tag == REPLACE) ends[replaced++] = out.len;
        else out.len = start;
        tags[i] = tag;
    }
    answer.tagged.tags.items = tags;
    answer.tagged.tags.count = count;
    answer.tagged.values.items = out.data;
    answer.tagged.values.count = out.len;
    answer.tagged.value_ends.items = ends;
    answer.tagged.value_ends.count = replaced;
    answer.tagged.failed.items = (struct failure *)failed.data;
    answer.tagged.failed.count = failed.len / sizeof(struct failure);
    release(in);
    return &answer;
}

EXPORT("cabi_post_transform")
void post_transform(struct answer *given) {
    free((void *)given->tagged.tags.items);
    free((void *)given->tagged.value_ends.items);
}
#endif

void tidegate_log(enum tidegate_level level, const char *message) {
    host_log(level, message, strlen(message));
}

void tidegate_count(const char *metric, uint64_t by) { host_count(metric, strlen(metric), by); }
