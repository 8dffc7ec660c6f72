/* One field of a JSON object, without parsing the rest. */
#include <stdlib.h>
#include <string.h>

#include "tidegate.h"

static const uint8_t *space(const uint8_t *at, const uint8_t *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
    return at;
}

/* Behind a string whose quote is at `at`; NULL where it does not end. */
static const uint8_t *string(const uint8_t *at, const uint8_t *end) {
    for (at++; at < end; at++) {
        if (*at == '\\') at++;
        else if (*at == '"') return at + 1;
    }
    return NULL;
}

/* Behind a value of any kind; NULL where it does not end. */
static const uint8_t *value(const uint8_t *at, const uint8_t *end) {
    size_t depth = 0;
    while (at && at < end) {
        uint8_t c = *at;
        if (c == '"') {
            at = string(at, end);
            if (!depth) return at;
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (!depth) return at;
            at++;
            if (!--depth) return at;
        } else if (!depth && (c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
            return at;
        } else {
            at++;
        }
    }
    return depth ? NULL : at;
}

tidegate_bytes tidegate_json_field(tidegate_bytes json, const char *name) {
    const tidegate_bytes none = {0};
    if (!json.data) return none;
    const uint8_t *end = json.data + json.len, *at = space(json.data, end);
    size_t len = strlen(name);
    if (at == end || *at != '{') return none;
    at = space(at + 1, end);
    while (at < end && *at == '"') {
        const uint8_t *key = at + 1;
        at = string(at, end);
        if (!at) return none;
        bool found = (size_t)(at - 1 - key) == len && !memcmp(key, name, len);
        at = space(at, end);
        if (at == end || *at != ':') return none;
        const uint8_t *start = space(at + 1, end);
        at = value(start, end);
        if (!at || at == start) return none;
        if (found) return (tidegate_bytes){start, at - start};
        at = space(at, end);
        if (at == end || *at != ',') return none;
        at = space(at + 1, end);
    }
    return none;
}

bool tidegate_json_number(tidegate_bytes json, double *number) {
    char text[64];
    if (!json.data || !json.len || json.len >= sizeof text) return false;
    /* strtod takes hexadecimals, infinities and signs that JSON has not. */
    for (size_t i = 0; i < json.len; i++)
        if (!strchr("0123456789+-.eE", json.data[i]) || !json.data[i]) return false;
    if (json.data[0] == '+' || json.data[0] == '.') return false;
    memcpy(text, json.data, json.len);
    text[json.len] = 0;
    char *end;
    *number = strtod(text, &end);
    return end == text + json.len;
}
