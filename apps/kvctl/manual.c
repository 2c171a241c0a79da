/* manual: see the header. */
#include "manual.h"

#include <stdio.h>

#include "base/assert.h"
#include "commands.h"
#include "globals.h"

/* A character beyond ASCII, of valid UTF-8, by its number; the last byte of it. */
static const char *put_wide(const char *at)
{
    unsigned char first = (unsigned char)*at;
    uint32_t code = first < 0xe0 ? first & 0x1fu : first < 0xf0 ? first & 0x0fu : first & 0x07u;
    for (; ((unsigned char)at[1] & 0xc0) == 0x80; at++) code = code << 6 | ((unsigned char)at[1] & 0x3fu);
    printf("\\[u%04X]", (unsigned)code);
    return at;
}

/* Text of one line, safe from being taken for a request of roff. */
static void put_text(const char *text)
{
    if (*text == '.' || *text == '\'') fputs("\\&", stdout);
    for (; *text != '\0' && *text != '\n'; text++) {
        if (*text == '\\') fputs("\\e", stdout);
        else if (*text == '-') fputs("\\-", stdout);
        else if (*text == '\'') fputs("\\(aq", stdout);
        else if (*text == '`') fputs("\\(ga", stdout);
        else if (*text == '~') fputs("\\(ti", stdout);
        else if (*text == '^') fputs("\\(ha", stdout);
        else if ((unsigned char)*text >= 0x80) text = put_wide(text);
        else putchar(*text);
    }
}

/* A block that stays as it is, line by line. */
static void put_block(const char *text)
{
    printf(".PP\n.nf\n");
    for (const char *at = text; *at != '\0'; at++) {
        if (at != text && at[-1] != '\n') continue;
        put_text(at);
        putchar('\n');
    }
    printf(".fi\n");
}

static void put_flag(const struct flag *flag)
{
    if (flag->help == NULL) return;
    printf(".TP\n");
    if (flag->letter != 0) printf("\\fB\\-%c\\fR, ", flag->letter);
    printf("\\fB");
    put_text("--");
    put_text(flag->name);
    printf("\\fR");
    if (flag->value_name != NULL) {
        printf(" \\fI");
        put_text(flag->value_name);
        printf("\\fR");
    }
    putchar('\n');
    put_text(flag->help);
    putchar('\n');
}

static void put_command(const struct command *command)
{
    struct ctl_options options = {.prefix = false};
    struct flag flags[COMMANDS_FLAGS_MAX];
    int flag_count = commands_flags(command, &options, flags);
    printf(".SS \"");
    put_text(command->name);
    printf("\"\n\\fBkvctl ");
    put_text(command->name);
    printf("\\fR");
    if (flag_count > 0) printf(" [flags]");
    printf(" \\fI");
    put_text(command->usage);
    printf("\\fR\n.PP\n");
    put_text(command->summary);
    printf(".\n");
    for (int i = 0; i < flag_count; i++) put_flag(&flags[i]);
    put_block(command->examples);
}

static void put_end(void)
{
    static const char *const codes[] = {"done",           "refused or failed", "no endpoint reached", "bad input",
                                        "a feature that is not there", "a stream broke"};
    printf(".SH ENVIRONMENT\nEach global option may stand in the environment, as\n.B KVCTL_ENDPOINTS\nor\n.BR ETCDCTL_ENDPOINTS ,\n"
           "and so on. The command line counts first, then KVCTL_.\n.SH \"EXIT STATUS\"\n");
    for (int i = 0; i < 6; i++) printf(".TP\n%d\n%s\n", i, codes[i]);
    printf(".TP\n128\nbad arguments\n.SH \"SEE ALSO\"\n.BR kvd (1),\n.BR readsnapshot (1)\n");
}

enum ctl_exit manual_command(struct ctl *ctl, int count, const char **words)
{
    struct ctl_globals globals;
    struct flag flags[GLOBALS_FLAGS_MAX];
    size_t command_count;
    const struct command *commands = commands_all(&command_count);
    ASSERT(ctl != NULL && words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "man command takes no arguments");
    printf(".\\\" Made by `kvctl man`.\n.TH KVCTL 1 \"\" \"kvctl %s\" \"kvd\"\n.SH NAME\nkvctl \\- the command line client of kvd\n", KVD_VERSION);
    printf(".SH SYNOPSIS\n\\fBkvctl\\fR [\\fIflags\\fR] \\fIcommand\\fR [\\fIarguments\\fR]\n.SH DESCRIPTION\n"
           "kvctl speaks etcd\\(aqs v3 API to the members of a kvd cluster, and to an etcd. Commands, flags, output and exit codes are those of "
           "etcdctl.\n.PP\nWithout a command, on a terminal, it is interactive: lines are commands in any case, with the quoting of a shell; HELP "
           "tells more. They are kept in\n.I history/kvcli_history\n(CLIENT_HISTORY_DIR, CLIENT_HISTORY_FILE).\n");
    printf(".SH \"GLOBAL OPTIONS\"\n");
    int flag_count = globals_flags(&globals, flags);
    for (int i = 0; i < flag_count; i++) put_flag(&flags[i]);
    printf(".SH COMMANDS\n");
    for (size_t i = 0; i < command_count; i++)
        if (commands[i].examples != NULL) put_command(&commands[i]);
    put_end();
    return CTL_OK;
}
