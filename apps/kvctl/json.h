/* json: writes JSON as Go's encoder does for the API's messages: fields in a given order, what is zero or empty is left out, bytes as
 * base64, 64-bit integers as plain numbers (unsigned ones too, which general libraries cannot hold).
 * Owner: json_init/json_deinit. Thread: main. Limits: none of its own. */
#ifndef KVCTL_JSON_H
#define KVCTL_JSON_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct json {
    struct buf text;
    bool needs_comma;
};
void json_init(struct json *json);
void json_deinit(struct json *json);
void json_print(struct json *json); /* the text and a newline, to stdout */

/* `name` NULL = an element of an array. */
void json_open(struct json *json, const char *name, char bracket); /* '{' or '[' */
void json_close(struct json *json, char bracket);                  /* '}' or ']' */
/* These leave out what is zero or empty, unless there is no name. */
void json_u64(struct json *json, const char *name, uint64_t value);
void json_i64(struct json *json, const char *name, int64_t value);
void json_true(struct json *json, const char *name, bool value);
void json_text(struct json *json, const char *name, const char *value);
void json_bytes(struct json *json, const char *name, struct slice value);
/* Always written. */
void json_number(struct json *json, const char *name, uint64_t value);
void json_string(struct json *json, const char *name, const char *value);
void json_null(struct json *json, const char *name);
void json_bool(struct json *json, const char *name, bool value);

#endif
