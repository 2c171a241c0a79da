/* child: see the header. */
#include "child.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "quote.h"

static bool has_name_of(const char *variable, const char *extra)
{
    size_t size = strcspn(extra, "=") + 1;
    ASSERT(extra[size - 1] == '=');
    return strncmp(variable, extra, size) == 0;
}

/* What is extra, and of our own environment what it does not replace. Owned array of borrowed texts. */
static char **join_environment(const char *const *extra, size_t extra_count)
{
    size_t own = 0, count = 0;
    while (environ[own] != NULL) own++;
    const char **joined = alloc_zero(own + extra_count + 1, sizeof *joined);
    for (size_t i = 0; i < extra_count; i++) joined[count++] = extra[i];
    for (size_t i = 0; i < own; i++) {
        bool is_replaced = false;
        for (size_t k = 0; k < extra_count; k++) is_replaced = is_replaced || has_name_of(environ[i], extra[k]);
        if (!is_replaced) joined[count++] = environ[i];
    }
    ASSERT(count <= own + extra_count);
    return (char **)(uintptr_t)joined; /* posix_spawn does not write into them */
}

/* Go's texts of the system begin with a small letter. */
static void put_small(struct buf *out, const char *text)
{
    ASSERT(text[0] != '\0');
    buf_put_u8(out, (uint8_t)tolower((unsigned char)text[0]));
    buf_printf(out, "%s", text + 1);
}

static void put_reason(struct buf *why, const char *program, int error)
{
    bool is_path = strchr(program, '/') != NULL;
    buf_printf(why, is_path ? "fork/exec " : "exec: ");
    if (is_path)
        buf_printf(why, "%s", program);
    else
        quote_put(why, slice_from_string(program));
    buf_printf(why, ": ");
    if (is_path || error != ENOENT)
        put_small(why, strerror(error));
    else
        buf_printf(why, "executable file not found in $PATH");
}

pid_t child_start(const char *const *words, int count, const char *const *extra, size_t extra_count, struct buf *why)
{
    ASSERT(count > 0);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t child = 0;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none); /* ours blocks what the ear hears */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    char **environment = join_environment(extra, extra_count);
    const char **copy = alloc_zero((size_t)count + 1, sizeof *copy);
    memcpy(copy, words, (size_t)count * sizeof *copy);
    int error = posix_spawnp(&child, copy[0], &actions, &attributes, (char *const *)(uintptr_t)copy, environment);
    if (error != 0) put_reason(why, copy[0], error);
    alloc_free(copy);
    alloc_free(environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error == 0 ? child : -1;
}

void child_put_status(struct buf *out, int status)
{
    ASSERT(WIFEXITED(status) || WIFSIGNALED(status));
    if (WIFEXITED(status)) {
        buf_printf(out, "exit status %d", WEXITSTATUS(status));
        return;
    }
    buf_printf(out, "signal: ");
    put_small(out, strsignal(WTERMSIG(status)));
}

int child_exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 255; }
