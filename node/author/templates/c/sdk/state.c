/* The plugin's state, at the hook derive. */
#include <stdlib.h>

#include "abi.h"
#include "tidegate.h"

#define STATE "tidegate:plugin/state@0.1.0"

/* option<list<u8>> */
struct found {
    uint32_t is_some;
    uint8_t *data;
    uint32_t len;
};

IMPORT(STATE, "get")
void state_get(const uint8_t *key, size_t len, struct found *found);
IMPORT(STATE, "put")
void state_put(const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len,
               uint32_t has_ttl, uint64_t ttl);
IMPORT(STATE, "delete")
void state_delete(const uint8_t *key, size_t len);
IMPORT(STATE, "stream-time")
int64_t state_stream_time(void);

tidegate_bytes tidegate_state_get(tidegate_bytes key) {
    struct found found = {0};
    state_get(key.data, key.len, &found);
    if (!found.is_some) return (tidegate_bytes){0};
    /* An empty value is not null. */
    return (tidegate_bytes){found.len ? found.data : calloc(1, 1), found.len};
}

void tidegate_state_put(tidegate_bytes key, tidegate_bytes value, uint64_t ttl) {
    state_put(key.data, key.len, value.data, value.len, ttl != 0, ttl);
}

void tidegate_state_delete(tidegate_bytes key) { state_delete(key.data, key.len); }

int64_t tidegate_stream_time(void) { return state_stream_time(); }
