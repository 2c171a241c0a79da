/* config_yaml: etcd's configuration file, an event of libyaml's at a time. See config_file.h. */
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/nearest.h"
#include "config_file.h"
#include "settings.h"

#define DEPTH_MAX 4

struct yaml {
    struct options *options;
    yaml_parser_t parser;
    bool is_over; /* nothing more can be read */
};

/* Keys in a map, and the settings that they are. */
static const struct {
    const char *map;
    const char *key;
    const char *setting;
} nested[] = {
    {"client-transport-security", "cert-file", "cert-file"},
    {"client-transport-security", "key-file", "key-file"},
    {"client-transport-security", "client-cert-file", "client-cert-file"},
    {"client-transport-security", "client-key-file", "client-key-file"},
    {"client-transport-security", "client-cert-auth", "client-cert-auth"},
    {"client-transport-security", "trusted-ca-file", "trusted-ca-file"},
    {"client-transport-security", "ca-file", "ca-file"},
    {"client-transport-security", "auto-tls", "auto-tls"},
    {"client-transport-security", "allowed-cn", "client-cert-allowed-hostname"}, /* whom to let in, which is refused alike */
    {"client-transport-security", "allowed-cns", "client-cert-allowed-hostname"},
    {"client-transport-security", "allowed-hostname", "client-cert-allowed-hostname"},
    {"client-transport-security", "allowed-hostnames", "client-cert-allowed-hostname"},
    {"peer-transport-security", "cert-file", "peer-cert-file"},
    {"peer-transport-security", "key-file", "peer-key-file"},
    {"peer-transport-security", "client-cert-file", "peer-client-cert-file"},
    {"peer-transport-security", "client-key-file", "peer-client-key-file"},
    {"peer-transport-security", "client-cert-auth", "peer-client-cert-auth"},
    {"peer-transport-security", "trusted-ca-file", "peer-trusted-ca-file"},
    {"peer-transport-security", "ca-file", "peer-ca-file"},
    {"peer-transport-security", "auto-tls", "peer-auto-tls"},
    {"peer-transport-security", "allowed-cn", "peer-cert-allowed-cn"},
    {"peer-transport-security", "allowed-cns", "peer-cert-allowed-cn"},
    {"peer-transport-security", "allowed-hostname", "peer-cert-allowed-hostname"},
    {"peer-transport-security", "allowed-hostnames", "peer-cert-allowed-hostname"},
    {"socket-options", "reuse-port", "socket-reuse-port"},
    {"socket-options", "reuse-address", "socket-reuse-address"},
};
#define NESTED_COUNT (sizeof(nested) / sizeof(nested[0]))

static uint32_t line_of(const yaml_event_t *event) { return (uint32_t)event->start_mark.line + 1; }

/* The next event; false at the end of the file, or where it can be read no further, which is told. */
static bool next(struct yaml *yaml, yaml_event_t *out_event)
{
    if (yaml->is_over) return false;
    if (!yaml_parser_parse(&yaml->parser, out_event)) {
        const char *problem = yaml->parser.problem == NULL ? "not YAML" : yaml->parser.problem;
        const char *context = yaml->parser.context == NULL ? "" : yaml->parser.context;
        options_complain(yaml->options, (uint32_t)yaml->parser.problem_mark.line + 1, NULL, "%.200s%s%.200s; nothing behind it was read", problem,
                         context[0] == '\0' ? "" : " ", context);
        yaml->is_over = true;
        return false;
    }
    if (out_event->type != YAML_STREAM_END_EVENT) return true;
    yaml->is_over = true;
    yaml_event_delete(out_event);
    return false;
}

/* Steps over what began with this event. The event is given back. */
static void skip(struct yaml *yaml, yaml_event_t *event)
{
    int depth = 0;
    for (;;) {
        yaml_event_type_t type = event->type;
        uint32_t line = line_of(event);
        depth += (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT);
        depth -= (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT);
        yaml_event_delete(event);
        if (depth <= 0) return;
        if (depth > DEPTH_MAX) {
            options_complain(yaml->options, line, NULL, "nested deeper than any setting; nothing behind it was read");
            yaml->is_over = true;
        }
        if (!next(yaml, event)) return;
    }
}

static bool is_null(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 || strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0;
}

/* YAML has more words for a boolean, and etcd's durations are numbers of nanoseconds. */
static void put_scalar(const struct flag *flag, const yaml_event_t *event, struct buf *out_text)
{
    static const char *const words[][2] = {{"yes", "true"}, {"Yes", "true"}, {"on", "true"}, {"On", "true"},
                                           {"no", "false"}, {"No", "false"}, {"off", "false"}, {"Off", "false"}};
    const char *text = (const char *)event->data.scalar.value;
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (flag->kind == FLAG_BOOL && is_plain && strcmp(text, words[i][0]) == 0) text = words[i][1];
    buf_printf(out_text, "%s", text);
    if (flag->kind == FLAG_DURATION_NS && text[0] != '\0' && strcmp(text, "0") != 0 && text[strspn(text, "0123456789")] == '\0')
        buf_printf(out_text, "ns");
}

/* Tells what no value may be. */
static bool is_value(struct yaml *yaml, const yaml_event_t *event, const char *key)
{
    struct options *options = yaml->options;
    if (event->type == YAML_ALIAS_EVENT) {
        options_complain(options, line_of(event), NULL, "%s: anchors and aliases are not read: write the value itself", key);
        return false;
    }
    if (event->type != YAML_SCALAR_EVENT) {
        options_complain(options, line_of(event), NULL, "%s: expected a single value", key);
        return false;
    }
    const unsigned char *text = event->data.scalar.value;
    for (size_t i = 0; i < event->data.scalar.length; i++) {
        if (text[i] >= ' ' && text[i] != 0x7f) continue;
        options_complain(options, line_of(event), NULL, "%s: a control character or a second line in the value", key);
        return false;
    }
    return true;
}

/* The items of a list with commas between. The event that began it is given back. */
static bool take_list(struct yaml *yaml, const struct flag *flag, yaml_event_t *event, const char *key, struct buf *out_text)
{
    bool is_good = true;
    yaml_event_delete(event);
    while (next(yaml, event)) {
        if (event->type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(event);
            return is_good;
        }
        bool is_item = is_value(yaml, event, key);
        if (is_item) {
            if (out_text->size > 0) buf_put_u8(out_text, ',');
            put_scalar(flag, event, out_text);
        }
        is_good = is_good && is_item;
        skip(yaml, event);
    }
    return false;
}

/* The value of one key. */
static void take_value(struct yaml *yaml, struct flag *flag, uint32_t line, const char *key)
{
    struct options *options = yaml->options;
    yaml_event_t event;
    struct buf text;
    if (!next(yaml, &event)) return;
    buf_init(&text);
    bool is_list = event.type == YAML_SEQUENCE_START_EVENT && (flag->kind == FLAG_STRING || flag->kind == FLAG_IGNORED);
    bool is_given = false;
    if (is_list) {
        is_given = take_list(yaml, flag, &event, key, &text);
    } else {
        is_given = is_value(yaml, &event, key) && !is_null(&event);
        if (is_given) put_scalar(flag, &event, &text);
        skip(yaml, &event);
    }
    if (is_given) options_take(options, flag, line, key, options_keep(options, (const char *)buf_slice(&text).data, text.size));
    buf_deinit(&text);
}

static bool is_map(const char *key)
{
    for (size_t i = 0; i < NESTED_COUNT; i++)
        if (strcmp(nested[i].map, key) == 0) return true;
    return false;
}

/* The setting of a key, of a map if `map` is one; NULL = none, and out_near what was meant, or "". Keys that have an effect come first. */
static struct flag *find(struct options *options, const char *map, const char *key, char out_near[FLAGS_VARIABLE_MAX])
{
    int count;
    size_t least = 2 + strlen(key) / 5;
    const struct setting *table = settings_table(&count);
    out_near[0] = '\0';
    for (size_t i = 0; i < NESTED_COUNT; i++) {
        bool is_here = map[0] == '\0' || strcmp(nested[i].map, map) == 0;
        const char *word = map[0] == '\0' ? nested[i].map : nested[i].key;
        if (is_here && map[0] != '\0' && strcmp(word, key) == 0) return options_find(options, nested[i].setting);
        size_t distance = is_here ? nearest_distance(key, word) : SIZE_MAX;
        if (distance >= least) continue;
        least = distance;
        snprintf(out_near, FLAGS_VARIABLE_MAX, "%s", word);
    }
    for (int i = 0; i < options->flag_count && map[0] == '\0'; i++) {
        const char *word = options->flags[i].name;
        if (i < count && (table[i].scope == SETTING_CLUSTER || table[i].scope == SETTING_PROGRAM)) continue;
        size_t distance = nearest_distance(key, word);
        if (strcmp(word, key) == 0) return &options->flags[i];
        if (distance >= least || distance >= strlen(key)) continue;
        least = distance;
        snprintf(out_near, FLAGS_VARIABLE_MAX, "%s", word);
    }
    return NULL;
}

/* The keys of a map, whose beginning was read. `map` is its own key; "" = the document's. */
static void take_map(struct yaml *yaml, const char *map)
{
    yaml_event_t event;
    while (next(yaml, &event)) {
        char key[FLAGS_VARIABLE_MAX], near[FLAGS_VARIABLE_MAX], full[2 * FLAGS_VARIABLE_MAX];
        uint32_t line = line_of(&event);
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return;
        }
        bool is_key = is_value(yaml, &event, "a key");
        snprintf(key, sizeof(key), "%s", is_key ? (const char *)event.data.scalar.value : "");
        snprintf(full, sizeof(full), "%s%s%s", map, map[0] == '\0' ? "" : ".", key);
        skip(yaml, &event);
        bool is_inner = map[0] == '\0' && is_key && is_map(key);
        struct flag *flag = is_inner || !is_key ? NULL : find(yaml->options, map, key, near);
        if (flag != NULL) {
            take_value(yaml, flag, line, full);
            continue;
        }
        if (is_key && !is_inner) options_complain(yaml->options, line, near[0] == '\0' ? NULL : near, "unknown key %s", full);
        if (!next(yaml, &event)) return;
        if (is_inner && event.type == YAML_MAPPING_START_EVENT) {
            yaml_event_delete(&event);
            take_map(yaml, key);
            continue;
        }
        if (is_inner && (event.type != YAML_SCALAR_EVENT || !is_null(&event)))
            options_complain(yaml->options, line, NULL, "%s: expected keys below it", key);
        skip(yaml, &event);
    }
}

void config_yaml_parse(struct options *options, struct slice bytes)
{
    struct yaml yaml = {.options = options};
    yaml_event_t event;
    bool is_seen = false;
    int is_made = yaml_parser_initialize(&yaml.parser);
    ASSERT(is_made == 1);
    yaml_parser_set_encoding(&yaml.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&yaml.parser, bytes.size == 0 ? (const unsigned char *)"" : bytes.data, bytes.size);
    while (next(&yaml, &event)) {
        yaml_event_type_t type = event.type;
        bool is_root = type == YAML_MAPPING_START_EVENT;
        bool is_content = is_root || type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT || type == YAML_ALIAS_EVENT;
        if (is_content && is_seen) {
            options_complain(options, line_of(&event), NULL, "a second document: a configuration is one");
            yaml.is_over = true;
        } else if (is_content && !is_root && !(type == YAML_SCALAR_EVENT && is_null(&event))) {
            options_complain(options, line_of(&event), NULL, "not a map: expected \"key: value\"");
        }
        is_seen = is_seen || is_content;
        if (is_root && !yaml.is_over) {
            yaml_event_delete(&event);
            take_map(&yaml, "");
        } else {
            skip(&yaml, &event);
        }
    }
    yaml_parser_delete(&yaml.parser);
}
