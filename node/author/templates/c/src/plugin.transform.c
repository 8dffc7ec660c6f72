/* Marks the records whose JSON field `value` is above a limit with `"alarm":true`.
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

const char *tidegate_transform(const tidegate_record *record) {
    static const char mark[] = ",\"alarm\":true}";
    bool hot;
    const char *failed = is_hot(record, &hot);
    if (failed || !hot) return failed;
    size_t end = record->value.len;
    while (end && record->value.data[end - 1] != '}') end--;
    if (!end) return "no number in the field value";
    tidegate_write(record->value.data, end - 1);
    tidegate_write(mark, sizeof mark - 1);
    return NULL;
}
