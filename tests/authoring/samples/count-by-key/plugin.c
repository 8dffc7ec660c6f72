/* Marks how many records of its key a record is, within a minute of the stream's time; a record
 * whose value is "forget" makes its key start again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sdk/tidegate.h"

const char *tidegate_configure(const char *config, size_t len, uint32_t *columns) {
    (void)config, (void)len;
    *columns = TIDEGATE_KEYS | TIDEGATE_VALUES;
    return NULL;
}

const char *tidegate_transform(const tidegate_record *record) {
    if (!record->key.data) return "no key";
    if (record->value.len == 6 && !memcmp(record->value.data, "forget", 6)) {
        tidegate_state_delete(record->key);
        tidegate_drop();
        return NULL;
    }
    uint32_t count = 0;
    tidegate_bytes before = tidegate_state_get(record->key);
    if (before.data) {
        memcpy(&count, before.data, sizeof count);
        free((void *)before.data);
    }
    count++;
    tidegate_state_put(record->key, (tidegate_bytes){(uint8_t *)&count, sizeof count}, 60000);
    /* What a failed batch wrote must be forgotten: this comes after the count. */
    if (record->value.len == 4 && !memcmp(record->value.data, "trap", 4)) __builtin_trap();
    char text[64];
    tidegate_write(text, snprintf(text, sizeof text, "%u at %lld", count,
                                  (long long)tidegate_stream_time()));
    return NULL;
}
