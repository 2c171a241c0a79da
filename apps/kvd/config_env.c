/* config_env: config.env, a line at a time. See config_file.h. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/nearest.h"
#include "config_file.h"
#include "settings.h"

struct env_line {
    const char *at;
    const char *end;
    uint32_t number;
};

static struct flag *find(struct options *options, const char *name)
{
    int count;
    const struct setting *table = settings_table(&count);
    for (int i = 0; i < count; i++) {
        char own[FLAGS_VARIABLE_MAX];
        settings_env_name(&table[i], own);
        if (own[0] != '\0' && strcmp(own, name) == 0) return &options->flags[i];
    }
    return NULL;
}

/* NULL = none. Names that once were count as near. */
static const char *nearest(const char *name, char out_near[FLAGS_VARIABLE_MAX])
{
    int count, renamed_count;
    const struct setting *table = settings_table(&count);
    const char *const(*renamed)[2] = settings_renamed(&renamed_count);
    size_t least = 2 + strlen(name) / 5;
    out_near[0] = '\0';
    for (int i = 0; i < renamed_count; i++)
        if (strcmp(renamed[i][0], name) == 0) return renamed[i][1];
    for (int i = 0; i < count; i++) {
        char own[FLAGS_VARIABLE_MAX];
        settings_env_name(&table[i], own);
        size_t distance = own[0] == '\0' ? SIZE_MAX : nearest_distance(name, own);
        if (distance >= least) continue;
        least = distance;
        snprintf(out_near, FLAGS_VARIABLE_MAX, "%s", own);
    }
    return out_near[0] == '\0' ? NULL : out_near;
}

/* A setting that each member has another value of? */
static bool is_members(const char *name)
{
    int count, renamed_count;
    const struct setting *table = settings_table(&count);
    const char *const(*renamed)[2] = settings_renamed(&renamed_count);
    for (int i = 0; i < renamed_count; i++)
        if (strcmp(renamed[i][0], name) == 0) return false;
    for (int i = 0; i < count; i++) {
        char own[FLAGS_VARIABLE_MAX];
        flags_variable_name("SERVER", table[i].name, own);
        if (table[i].scope == SETTING_MEMBER && strcmp(own, name) == 0) return true;
    }
    return false;
}

/* The value at line->at, in quotes or not. False: told. */
static bool take_value(struct options *options, struct env_line *line, const char *name, struct buf *out_value)
{
    char quote = line->at < line->end && (*line->at == '"' || *line->at == '\'') ? *line->at : '\0';
    const char *at = line->at + (quote != '\0');
    for (; at < line->end; at++) {
        char c = *at;
        if (quote == '\0' ? c == ' ' || c == '\t' : c == quote) break;
        bool is_expansion = quote != '\'' && (c == '$' || c == '`');
        bool is_escape = quote == '"' && c == '\\' && at + 1 < line->end && (at[1] == '"' || at[1] == '\\' || at[1] == '$' || at[1] == '`');
        if (is_expansion) {
            options_complain(options, line->number, NULL, "%s: nothing is expanded here: write what %c stands for, or put the value in '…'", name, c);
            return false;
        }
        if (quote == '\0' && (c == '"' || c == '\'')) {
            options_complain(options, line->number, NULL, "%s: a quote in the middle of a value; put the whole value in quotes", name);
            return false;
        }
        if (is_escape) at++;
        buf_put_u8(out_value, (uint8_t)*at);
    }
    if (quote != '\0' && at == line->end) {
        options_complain(options, line->number, NULL, "%s: the closing %c is missing", name, quote);
        return false;
    }
    at += quote != '\0';
    const char *rest = at;
    while (rest < line->end && (*rest == ' ' || *rest == '\t')) rest++;
    if (rest == line->end || (*rest == '#' && rest > at)) return true;
    options_complain(options, line->number, NULL, "%s: \"%.*s\" behind the value; a value with blanks stands in quotes", name,
                     (int)(line->end - rest > 60 ? 60 : line->end - rest), rest);
    return false;
}

static void take_name(struct options *options, struct env_line *line, const char *name)
{
    char near[FLAGS_VARIABLE_MAX];
    struct buf value;
    struct flag *flag = find(options, name);
    if (flag == NULL && is_members(name)) {
        options_complain(options, line->number, NULL, "%s differs from member to member: it is made from SERVER_HOST, the ports and "
                         "SERVER_DATA_BASE_PATH", name);
        return;
    }
    if (flag == NULL) {
        options_complain(options, line->number, nearest(name, near), "unknown name %.100s", name);
        return;
    }
    buf_init(&value);
    if (take_value(options, line, name, &value)) {
        const char *text = options_keep(options, (const char *)buf_slice(&value).data, value.size);
        options_take(options, flag, line->number, name, text);
    }
    buf_deinit(&value);
}

static void take_line(struct options *options, struct env_line *line)
{
    char name[FLAGS_VARIABLE_MAX];
    while (line->at < line->end && (*line->at == ' ' || *line->at == '\t')) line->at++;
    if (line->end > line->at && line->end[-1] == '\r') line->end--;
    if (line->at == line->end || *line->at == '#') return;
    for (const char *at = line->at; at < line->end; at++) {
        bool is_control = (unsigned char)*at < ' ' && *at != '\t';
        if (!is_control && *at != 0x7f) continue;
        options_complain(options, line->number, NULL, "a control character (byte %u of the line)", (unsigned)(at - line->at) + 1);
        return;
    }
    const char *start = line->at;
    while (line->at < line->end && (isalnum((unsigned char)*line->at) || *line->at == '_')) line->at++;
    size_t size = (size_t)(line->at - start);
    if (size == 0 || line->at == line->end || *line->at != '=') {
        options_complain(options, line->number, NULL, "not NAME=value (no blanks around =): \"%.*s\"",
                         (int)(line->end - start > 60 ? 60 : line->end - start), start);
        return;
    }
    if (size >= sizeof(name)) {
        options_complain(options, line->number, NULL, "unknown name %.60s…", start);
        return;
    }
    memcpy(name, start, size);
    name[size] = '\0';
    line->at++;
    take_name(options, line, name);
}

void config_env_parse(struct options *options, struct slice bytes)
{
    uint32_t number = 0;
    ASSERT(options->file_kind == OPTIONS_ENV);
    if (bytes.size == 0) return; /* and no bytes there */
    const char *at = (const char *)bytes.data, *end = at + bytes.size;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        struct env_line line = {.at = at, .end = line_end == NULL ? end : line_end, .number = ++number};
        at = line.end + (line_end != NULL);
        take_line(options, &line);
    }
}
