/* json: the writer. */
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void json_init(struct json *json)
{
    ASSERT(json != NULL);
    buf_init(&json->text);
    json->needs_comma = false;
}

void json_deinit(struct json *json)
{
    if (json != NULL) buf_deinit(&json->text);
}

void json_print(struct json *json)
{
    struct slice text = buf_slice(&json->text);
    ASSERT(text.size > 0);
    fwrite(text.data, 1, text.size, stdout);
    fputc('\n', stdout);
}

/* A string as Go's encoder writes it: <, > and & escaped too. */
static void put_string(struct buf *out, const char *value)
{
    ASSERT(value != NULL);
    buf_put_u8(out, '"');
    for (const char *at = value; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_printf(out, "\\n");
        else if (c == '\r')
            buf_printf(out, "\\r");
        else if (c == '\t')
            buf_printf(out, "\\t");
        else if (c < 0x20 || c == '<' || c == '>' || c == '&')
            buf_printf(out, "\\u%04x", c);
        else
            buf_put_u8(out, c);
    }
    buf_put_u8(out, '"');
}

/* The comma before and the name. */
static void begin(struct json *json, const char *name)
{
    if (json->needs_comma) buf_put_u8(&json->text, ',');
    if (name != NULL) {
        put_string(&json->text, name);
        buf_put_u8(&json->text, ':');
    }
    json->needs_comma = true;
}

void json_open(struct json *json, const char *name, char bracket)
{
    ASSERT(bracket == '{' || bracket == '[');
    begin(json, name);
    buf_put_u8(&json->text, (uint8_t)bracket);
    json->needs_comma = false;
}

void json_close(struct json *json, char bracket)
{
    ASSERT(bracket == '}' || bracket == ']');
    buf_put_u8(&json->text, (uint8_t)bracket);
    json->needs_comma = true;
}

void json_u64(struct json *json, const char *name, uint64_t value)
{
    if (value == 0 && name != NULL) return;
    begin(json, name);
    buf_printf(&json->text, "%" PRIu64, value);
}

void json_i64(struct json *json, const char *name, int64_t value)
{
    if (value == 0 && name != NULL) return;
    begin(json, name);
    buf_printf(&json->text, "%" PRId64, value);
}

void json_number(struct json *json, const char *name, uint64_t value)
{
    begin(json, name);
    buf_printf(&json->text, "%" PRIu64, value);
}

void json_string(struct json *json, const char *name, const char *value)
{
    begin(json, name);
    put_string(&json->text, value);
}

void json_true(struct json *json, const char *name, bool value)
{
    if (value) json_bool(json, name, value);
}

void json_null(struct json *json, const char *name)
{
    begin(json, name);
    buf_printf(&json->text, "null");
}

void json_bool(struct json *json, const char *name, bool value)
{
    begin(json, name);
    buf_printf(&json->text, "%s", value ? "true" : "false");
}

void json_text(struct json *json, const char *name, const char *value)
{
    ASSERT(value != NULL);
    if (value[0] == '\0' && name != NULL) return;
    begin(json, name);
    put_string(&json->text, value);
}

void json_bytes(struct json *json, const char *name, struct slice value)
{
    if (value.size == 0 && name != NULL) return;
    begin(json, name);
    buf_put_u8(&json->text, '"');
    buf_put_base64(&json->text, value);
    buf_put_u8(&json->text, '"');
}
