/* A Tidegate plugin in C: the contract of wit/plugin.wit as C sees it.
 *
 * A plugin is one of tidegate_filter, tidegate_partition, tidegate_transform, and tidegate_configure.
 * sdk/tidegate.c calls them for each record and does the rest. Nothing that a plugin is handed is its
 * own: it is valid until the function returns. */
#ifndef TIDEGATE_H
#define TIDEGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *data; /* NULL where it is null */
    size_t len;
} tidegate_bytes;

/* The parts of a record that are read; the fewer, the faster. */
enum {
    TIDEGATE_TIMESTAMPS = 1,
    TIDEGATE_KEYS = 2,
    TIDEGATE_VALUES = 4,
    TIDEGATE_HEADERS = 8,
};

typedef struct {
    uint32_t index;      /* in its batch */
    int64_t timestamp;   /* milliseconds since 1970; -1 where it has none */
    tidegate_bytes key;
    tidegate_bytes value;
    tidegate_bytes headers; /* (u32 name length, u32 value length, name, value)*; 0xffffffff is null */
    tidegate_bytes topic;
    uint32_t partition;
    uint32_t partitions;
    uint64_t seed;
} tidegate_record;

/* Takes the configuration, which is JSON, and tells the columns that are read in *columns. Gives NULL,
 * or what is wrong with the configuration. */
const char *tidegate_configure(const char *config, size_t len, uint32_t *columns);

/* Each of these gives NULL, or why it could not handle the record. */
const char *tidegate_filter(const tidegate_record *record, bool *keep);
const char *tidegate_partition(const tidegate_record *record, uint32_t *partition);
/* The record stays as it is unless one of the functions below is called. */
const char *tidegate_transform(const tidegate_record *record);

void tidegate_drop(void);
void tidegate_null_value(void);
/* Appends to the record's new value; the first call replaces the old one. */
void tidegate_write(const void *data, size_t len);

enum tidegate_level {
    TIDEGATE_TRACE,
    TIDEGATE_DEBUG,
    TIDEGATE_INFO,
    TIDEGATE_WARN,
    TIDEGATE_ERROR,
};

/* A line in the node's log, under the plugin's name. */
void tidegate_log(enum tidegate_level level, const char *message);
/* Adds to a counter of the plugin's own; its name is a-z 0-9 _. */
void tidegate_count(const char *metric, uint64_t by);

/* The plugin's state, at the hook derive; elsewhere these stop the plugin. What is got is the
 * caller's, to free(). A ttl of 0 is for ever; else it is in milliseconds of the stream's time. */
tidegate_bytes tidegate_state_get(tidegate_bytes key);
void tidegate_state_put(tidegate_bytes key, tidegate_bytes value, uint64_t ttl);
void tidegate_state_delete(tidegate_bytes key);
int64_t tidegate_stream_time(void);

/* Finds a field of a JSON object without parsing the rest: its raw text, or NULL where the text is no
 * object or has no such field. Names with escapes are not found. */
tidegate_bytes tidegate_json_field(tidegate_bytes json, const char *name);
/* Reads a JSON number; false where the text is none. */
bool tidegate_json_number(tidegate_bytes json, double *number);

#endif
