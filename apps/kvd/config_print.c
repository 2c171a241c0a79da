/* config_print: see config_print.h. */
#include "config_print.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/roff.h"
#include "settings.h"

#define WIDTH_MAX 60 /* of a column */

/* One setting as it is shown. */
struct row {
    char name[FLAGS_VARIABLE_MAX];
    struct buf value;
    struct buf from;
};

static bool is_env_view(const struct options *options)
{
    bool wants_env = strcmp(options->write_out, "env") == 0;
    return options->file_kind == OPTIONS_ENV && (options->node == 0 || wants_env);
}

static const char *text_of(struct buf *buf)
{
    buf_put_u8(buf, 0);
    buf->size--;
    return (const char *)buf_slice(buf).data;
}

static void put_from(const struct options *options, int place, struct buf *out_text)
{
    const struct options_origin *origin = &options->origins[place];
    char variable[FLAGS_VARIABLE_MAX];
    switch (origin->from) {
    case OPTIONS_DEFAULT: buf_printf(out_text, "default"); break;
    case OPTIONS_FLAG: buf_printf(out_text, "flag"); break;
    case OPTIONS_VARIABLE:
        flags_variable_name(origin->variable, options->flags[place].name, variable);
        buf_printf(out_text, "%s", variable);
        break;
    case OPTIONS_FILE: buf_printf(out_text, "%s:%" PRIu32, options->file, origin->line); break;
    case OPTIONS_NODE: buf_printf(out_text, "node %" PRIu64 " of %s", options->node, options->file); break;
    }
}

/* False = it is not shown. Other names for the same thing are not, unless somebody gave them. */
static bool fill(const struct options *options, int place, struct row *row)
{
    int count;
    const struct setting *setting = &settings_table(&count)[place];
    buf_clear(&row->value);
    buf_clear(&row->from);
    if (setting->scope == SETTING_PROGRAM || flags_is_ignored(options->flags[place].kind)) return false;
    if (is_env_view(options)) {
        settings_env_name(setting, row->name);
    } else {
        bool is_hidden = setting->scope == SETTING_CLUSTER || strncmp(setting->name, "experimental-", 13) == 0 ||
                         strncmp(setting->help, "refused", 7) == 0;
        snprintf(row->name, sizeof(row->name), "%s", is_hidden && options->origins[place].from == OPTIONS_DEFAULT ? "" : setting->name);
        if (setting->scope == SETTING_CLUSTER) row->name[0] = '\0';
    }
    if (row->name[0] == '\0') return false;
    flags_value_text(&options->flags[place], true, &row->value);
    put_from(options, place, &row->from);
    return true;
}

static void print_table(const struct options *options)
{
    struct row row = {.name = ""};
    int widths[2] = {7, 5};
    buf_init(&row.value);
    buf_init(&row.from);
    for (int i = 0; i < options->setting_count; i++) {
        if (!fill(options, i, &row)) continue;
        int name = (int)strlen(row.name), value = (int)row.value.size;
        if (name > widths[0]) widths[0] = name;
        if (value > widths[1] && value <= WIDTH_MAX) widths[1] = value;
    }
    printf("%-*s  %-*s  FROM\n", widths[0], "SETTING", widths[1], "VALUE");
    for (int i = 0; i < options->setting_count; i++) {
        if (!fill(options, i, &row)) continue;
        const char *value = row.value.size == 0 ? "\"\"" : text_of(&row.value);
        printf("%-*s  %-*s  %s\n", widths[0], row.name, widths[1], value, text_of(&row.from));
    }
    buf_deinit(&row.value);
    buf_deinit(&row.from);
}

/* Bytes that are no text in UTF-8 are shown as question marks. */
static json_t *json_text(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL) return json;
    char *copy = alloc_string(text);
    for (char *at = copy; *at != '\0'; at++)
        if ((unsigned char)*at >= 0x80) *at = '?';
    json = json_string(copy);
    alloc_free(copy);
    ASSERT(json != NULL);
    return json;
}

static json_t *json_settings(const struct options *options)
{
    struct row row = {.name = ""};
    json_t *settings = json_array();
    buf_init(&row.value);
    buf_init(&row.from);
    for (int i = 0; i < options->setting_count; i++) {
        if (!fill(options, i, &row)) continue;
        json_t *setting = json_object();
        json_object_set_new(setting, "name", json_text(row.name));
        json_object_set_new(setting, "value", json_text(text_of(&row.value)));
        json_object_set_new(setting, "from", json_text(text_of(&row.from)));
        json_array_append_new(settings, setting);
    }
    buf_deinit(&row.value);
    buf_deinit(&row.from);
    return settings;
}

static void print_json(const struct options *options)
{
    json_t *root = json_object(), *mistakes = json_array();
    for (int i = 0; i < options->mistakes.count; i++) {
        json_t *mistake = json_object();
        json_object_set_new(mistake, "place", json_text(options->mistakes.items[i].place));
        json_object_set_new(mistake, "error", json_text(options->mistakes.items[i].text));
        json_object_set_new(mistake, "suggestion", json_text(options->mistakes.items[i].hint));
        json_array_append_new(mistakes, mistake);
    }
    json_object_set_new(root, "file", options->file == NULL ? json_null() : json_text(options->file));
    if (options->mistakes.count == 0) json_object_set_new(root, "settings", json_settings(options));
    json_object_set_new(root, "mistakes", mistakes);
    json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(root);
}

/* NAME='value', as a shell reads it. */
static void print_env(const struct options *options)
{
    struct row row = {.name = ""};
    buf_init(&row.value);
    buf_init(&row.from);
    for (int i = 0; i < options->setting_count; i++) {
        if (!fill(options, i, &row)) continue;
        printf("%s='", row.name);
        for (const char *at = text_of(&row.value); *at != '\0'; at++) {
            if (*at == '\'') printf("'\\''");
            else putchar(*at);
        }
        printf("'\n");
    }
    buf_deinit(&row.value);
    buf_deinit(&row.from);
}

static void print_mistakes(const struct mistakes *mistakes)
{
    struct buf text;
    buf_init(&text);
    for (int i = 0; i < mistakes->count; i++) {
        buf_clear(&text);
        mistakes_text(&mistakes->items[i], &text);
        fprintf(stderr, "%s\n", text_of(&text));
    }
    int all = mistakes->count + mistakes->more;
    fprintf(stderr, "%d mistake%s%s\n", all, all == 1 ? "" : "s", mistakes->more > 0 ? "; the first are shown" : "");
    buf_deinit(&text);
}

int config_print_check(const struct options *options)
{
    bool has_mistakes = options->mistakes.count > 0;
    if (strcmp(options->write_out, "json") == 0) {
        print_json(options);
    } else if (has_mistakes) {
        print_mistakes(&options->mistakes);
    } else if (strcmp(options->write_out, "env") == 0) {
        print_env(options);
    } else {
        print_table(options);
    }
    fflush(stdout);
    return has_mistakes ? 1 : 0;
}

/* --- config.example.env ------------------------------------------------------------------------------------------------------ */

/* A comment in lines of bounded width. */
static void print_comment(const char *text)
{
    const size_t width_max = 118;
    size_t width = 1;
    printf("#");
    for (const char *at = text; *at != '\0';) {
        at += strspn(at, " ");
        size_t size = strcspn(at, " ");
        if (width + size + 1 > width_max) {
            printf("\n#");
            width = 1;
        }
        printf(" %.*s", (int)size, at);
        width += size + 1;
        at += size;
    }
    printf("\n");
}

void config_print_example(void)
{
    struct options options;
    struct row row = {.name = ""};
    const char *group = "";
    options_begin(&options);
    options.config.initial_cluster_token = "kvd-local";
    options.file_kind = OPTIONS_ENV;
    buf_init(&row.value);
    buf_init(&row.from);
    printf("# The cluster that `make server` starts on this machine, and what kvctl needs to know of it. `make server` copies this file to\n"
           "# config.env when there is none; edit config.env, not this one, which `kvd --print example` makes. A line is NAME=value; a value\n"
           "# with blanks stands in quotes; nothing is expanded. What config.env does not name has the value that stands here. All mistakes\n"
           "# at once: `bin/kvd --check-config config.env`. KVD_CONFIG=FILE make server: another file.\n"
           "#\n"
           "# A data directory keeps the cluster and the names that it was made with: after a change of SERVER_NODE_COUNT, SERVER_HOST,\n"
           "# SERVER_PEER_PORT_BASE, SERVER_CLUSTER_TOKEN, SERVER_WAL_SUBDIR, SERVER_SNAPSHOT_FILE or SERVER_RAFT_STATE_FILE, `make\n"
           "# clean-data`.\n");
    int count;
    const struct setting *table = settings_table(&count);
    for (int pass = 0; pass < 3; pass++) { /* the cluster, what people set, the rest */
        for (int i = 0; i < count; i++) {
            int wanted = table[i].scope == SETTING_CLUSTER ? 0 : table[i].env_name != NULL ? 1 : 2;
            if (wanted != pass || !fill(&options, i, &row)) continue;
            if (pass == 2 && strcmp(group, table[i].group) != 0) printf("\n# ---- %s\n", table[i].group);
            group = table[i].group;
            printf("\n");
            print_comment(table[i].help);
            printf("%s%s=%s%s%s\n", pass < 2 ? "" : "#", row.name, row.value.size == 0 ? "\"" : "", text_of(&row.value),
                   row.value.size == 0 ? "\"" : "");
        }
    }
    buf_deinit(&row.value);
    buf_deinit(&row.from);
    options_deinit(&options);
}

/* --- kvd(8) ------------------------------------------------------------------------------------------------------------------ */

static void print_man_settings(const struct options *options, bool is_env)
{
    const char *group = "";
    int count;
    const struct setting *table = settings_table(&count);
    for (int i = 0; i < count; i++) {
        char name[FLAGS_VARIABLE_MAX];
        settings_env_name(&table[i], name);
        if (is_env ? table[i].scope != SETTING_CLUSTER && table[i].env_name == NULL : table[i].scope == SETTING_CLUSTER) continue;
        if (!is_env && strcmp(group, table[i].group) != 0) printf(".SS \"%s\"\n", table[i].group);
        group = table[i].group;
        if (is_env) roff_put_setting(name, &options->flags[i], table[i].help);
        else roff_put_flag(&options->flags[i]);
    }
}

void config_print_man(void)
{
    struct options options;
    options_begin(&options);
    printf(".TH KVD 8 \"\" \"kvd %s\" \"System Administration\"\n"
           ".SH NAME\nkvd \\- one member of a replicated key\\-value store that speaks etcd's v3 API\n"
           ".SH SYNOPSIS\n.B kvd\n[\\fIflags\\fR]\n.br\n.B kvd \\-\\-config\\-file\n\\fIFILE\\fR [\\fB\\-\\-node\\fR \\fIN\\fR]\n.br\n"
           ".B kvd \\-\\-check\\-config\n[\\fIFILE\\fR] [\\fB\\-w\\fR table|json|env]\n"
           ".SH DESCRIPTION\n"
           "A flag is \\-\\-name value or \\-\\-name=value, a boolean \\-\\-name or \\-\\-name=false. "
           "\\-\\-some\\-flag may also be KVD_SOME_FLAG or ETCD_SOME_FLAG in the environment; two of them at once are an error. "
           "With \\-\\-config\\-file the file is the whole configuration: YAML with the flags' names as keys, as etcd's, or a config.env, "
           "which describes all members of a cluster on one machine.\n"
           ".SH OPTIONS\n", KVD_VERSION);
    print_man_settings(&options, false);
    printf(".SH CONFIG.ENV\nLines of NAME=value. Any setting that is the same for all members is SERVER_ and its name in capitals with _ for \\-; "
           "these have names of their own:\n");
    print_man_settings(&options, true);
    printf(".SH SIGNALS\n.TP\n.B SIGTERM, SIGINT\nhand leadership over, answer what is in flight, end within 1.5 s; a second one ends it at once\n"
           ".TP\n.B SIGHUP\nreads the configuration again; the log level takes effect, and what the files of the clients' certificate, key and CA hold does for new connections; the rest is named in the log if it has changed\n"
           ".TP\n.B SIGUSR1\nlogs where the memory is\n"
           ".SH EXIT STATUS\n0 stopped by a signal; 1 refused or failed, with the reason on the last line; 2 a command line that cannot be read\n"
           ".SH SEE ALSO\nkvctl(1)\n");
    options_deinit(&options);
}
