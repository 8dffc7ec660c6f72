/* Sends the records whose JSON field `value` is above a limit to the last partition, all
 * others to the first.
 *
 * A record without a number in that field fails; how a plugin is attached decides what becomes of
 * those. */
#include "../sdk/tidegate.h"

static double above;

const char *tidegate_configure(const char *config, size_t len, uint32_t *columns) {
    tidegate_bytes json = {(const uint8_t *)config, len};
    if (!tidegate_json_number(tidegate_json_field(json, "above"), &above))
        return "configuration: `above` must be a number";
    *columns = TIDEGATE_VALUES;
    return NULL;
}

static const char *is_hot(const tidegate_record *record, bool *hot) {
    double number;
    if (!tidegate_json_number(tidegate_json_field(record->value, "value"), &number))
        return "no number in the field value";
    *hot = number > above;
    return NULL;
}

const char *tidegate_partition(const tidegate_record *record, uint32_t *partition) {
    bool hot;
    const char *failed = is_hot(record, &hot);
    if (failed) return failed;
    *partition = hot ? record->partitions - 1 : 0;
    return NULL;
}
