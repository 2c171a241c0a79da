/* kvctl: the command line client.
 *
 * Flags are etcdctl's, from the command line, KVCTL_NAME or ETCDCTL_NAME (the first of these that says something counts).
 * Exit codes: 0 done, 1 refused or failed, 2 no endpoint could be reached, 3 bad input, 4 bad feature, 5 interrupted, 128 bad arguments.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/standard_streams.h"
#include "run.h"
#include "shell.h"

/* As the signal would have ended us at once: a shell sees why. */
static void end_by(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

STANDARD_STREAMS_RESERVE_FIRST;

int main(int argc, char **argv)
{
    struct ctl ctl = {.format = CTL_SIMPLE};
    setenv("GRPC_VERBOSITY", "NONE", 0); /* errors are told by us, once */
    bool is_terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    enum ctl_exit code = is_terminal && run_is_bare(&ctl, argc, argv) ? shell_run(&ctl) : run_line(&ctl, NULL, argc, argv);
    if (ctl.signal == 0) return (int)code;
    end_by(ctl.signal);
    return 128 + ctl.signal; /* it was ignored when we were started */
}
