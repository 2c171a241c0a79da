/* manual: see the header. */
#include "manual.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/roff.h"
#include "commands.h"
#include "globals.h"

static void put_command(const struct command *command)
{
    struct ctl_options options = {.prefix = false};
    struct flag flags[COMMANDS_FLAGS_MAX];
    int flag_count = commands_flags(command, &options, flags);
    printf(".SS \"");
    roff_put_text(command->name);
    printf("\"\n\\fBkvctl ");
    roff_put_text(command->name);
    printf("\\fR");
    if (flag_count > 0) printf(" [flags]");
    printf(" \\fI");
    roff_put_text(command->usage);
    printf("\\fR\n.PP\n");
    roff_put_text(command->summary);
    printf(".\n");
    for (int i = 0; i < flag_count; i++) roff_put_flag(&flags[i]);
    roff_put_block(command->examples);
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
    for (int i = 0; i < flag_count; i++) roff_put_flag(&flags[i]);
    printf(".SH COMMANDS\n");
    for (size_t i = 0; i < command_count; i++)
        if (commands[i].examples != NULL) put_command(&commands[i]);
    put_end();
    return CTL_OK;
}
