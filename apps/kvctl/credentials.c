/* credentials: see the header. */
#include "credentials.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

/* --- a password from a terminal ------------------------------------------------------------------------------------------------ */

static const int ENDING[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define ENDING_COUNT (sizeof ENDING / sizeof ENDING[0])

static volatile sig_atomic_t came; /* a signal; while one types */

static void note(int number) { came = number; }

/* A signal that is not ignored ends the reading, so that the terminal gets its echo back before it ends us. */
static bool read_line(char *text, size_t size)
{
    struct sigaction before[ENDING_COUNT], noted = {.sa_handler = note};
    sigemptyset(&noted.sa_mask);
    for (size_t i = 0; i < ENDING_COUNT; i++) {
        sigaction(ENDING[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) sigaction(ENDING[i], &noted, NULL);
    }
    bool was_read = fgets(text, (int)size, stdin) != NULL;
    for (size_t i = 0; i < ENDING_COUNT; i++) sigaction(ENDING[i], &before[i], NULL);
    return was_read;
}

enum ctl_exit credentials_read(const char *prompt, char out_text[CREDENTIALS_PASSWORD_MAX])
{
    struct termios before, silent;
    bool is_terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    came = 0;
    if (is_terminal) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
        fputs(prompt, stderr);
    }
    bool was_read = is_terminal ? read_line(out_text, CREDENTIALS_PASSWORD_MAX) : fgets(out_text, CREDENTIALS_PASSWORD_MAX, stdin) != NULL;
    if (is_terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    if (came != 0) raise(came);
    if (!was_read) return ctl_fail(CTL_BAD_ARGS, "a password is expected on standard input");
    out_text[strcspn(out_text, "\n")] = '\0';
    return out_text[0] == '\0' ? ctl_fail(CTL_BAD_ARGS, "an empty password") : CTL_OK;
}

/* --- --user, --password and --auth-jwt-token ------------------------------------------------------------------------------------------------ */

enum ctl_exit credentials_prepare(struct ctl *ctl)
{
    struct ctl_globals *globals = &ctl->globals;
    char password[CREDENTIALS_PASSWORD_MAX];
    if (globals->auth_jwt_token[0] != '\0' && (globals->user[0] != '\0' || globals->password[0] != '\0'))
        return ctl_fail(CTL_BAD_ARGS, "--auth-jwt-token goes without --user and --password");
    if (globals->user[0] == '\0' || globals->password[0] != '\0') return CTL_OK;
    ASSERT(ctl->secret == NULL);
    char *user = alloc_string(globals->user), *colon = strchr(user, ':');
    if (colon != NULL) {
        *colon = '\0';
        ctl->secret = user;
        globals->user = user;
        globals->password = colon + 1;
        bool is_whole = user[0] != '\0' && colon[1] != '\0';
        return is_whole ? CTL_OK : ctl_fail(CTL_BAD_ARGS, "--user is a name, a colon and a password, or a name alone");
    }
    alloc_free(user);
    enum ctl_exit code = credentials_read("Password: ", password);
    if (code != CTL_OK) return code;
    ctl->secret = alloc_string(password);
    globals->password = ctl->secret;
    explicit_bzero(password, sizeof password);
    return CTL_OK;
}

void credentials_free(struct ctl *ctl)
{
    alloc_free(ctl->secret);
    ctl->secret = NULL;
}
