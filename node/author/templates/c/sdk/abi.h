/* What crosses the border, as the canonical ABI lays it out: the records of wit/plugin.wit as structs
 * of pointers and lengths. Sizes are checked by the compiler. */
#ifndef TIDEGATE_ABI_H
#define TIDEGATE_ABI_H

#include <stdint.h>

#define LIST(type)           \
    struct {                 \
        const type *items;   \
        uint32_t count;      \
    }

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

struct batch {
    uint32_t count;
    LIST(int64_t) timestamps;
    LIST(uint8_t) keys;
    LIST(uint32_t) key_ends;
    LIST(uint8_t) values;
    LIST(uint32_t) value_ends;
    LIST(uint8_t) headers;
    LIST(uint32_t) header_ends;
    LIST(uint8_t) nulls;
};

struct arguments {
    struct batch batch;
    /* A u64 in the context has it begin at a multiple of 8. */
    _Alignas(8) struct {
        LIST(uint8_t) topic;
        uint32_t partition;
        uint32_t partitions;
        uint64_t seed;
    } context;
};

struct failure {
    uint32_t record;
    LIST(char) reason;
};

/* result<columns, string> */
struct configured {
    uint32_t is_error;
    union {
        uint8_t columns;
        LIST(char) reason;
    };
};

/* result<filter-verdict, string> and its siblings: case 0 of the verdict is the only one given. */
struct answer {
    uint32_t is_error;
    uint32_t verdict;
    union {
        struct {
            LIST(uint8_t) bitmap;
            LIST(struct failure) failed;
        } kept;
        struct {
            LIST(uint32_t) partitions;
            LIST(struct failure) failed;
        } chosen;
        struct {
            LIST(uint8_t) tags;
            LIST(uint8_t) values;
            LIST(uint32_t) value_ends;
            LIST(struct failure) failed;
        } tagged;
        /* The other answer of a transform, which this SDK does not give, is the largest. */
        LIST(uint8_t) emitted[13];
    };
};

_Static_assert(sizeof(struct batch) == 68, "batch");
_Static_assert(sizeof(struct arguments) == 96, "arguments");
_Static_assert(sizeof(struct failure) == 12, "failure");
_Static_assert(sizeof(struct configured) == 12, "configured");
_Static_assert(sizeof(struct answer) == 112, "answer");

#endif
