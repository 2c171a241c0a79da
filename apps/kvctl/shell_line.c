/* shell_line: see the header. */
#include "shell_line.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "ear.h"
#include "words.h"

#define CANCEL 7 /* Ctrl-G: what the terminal's Ctrl-C, a signal, is to libedit */

struct shell_line {
    const struct ctl *ctl;
    struct shell_state *state;
    struct shell_watch *watch;
    EditLine *edit;
    History *history;
    char *history_path;        /* NULL = none */
    const char *prompt;
    int signals;               /* a descriptor */
    int signal;
    bool was_cancelled, was_empty, has_signal;
    char *text;
    mbstate_t wide;
};

static struct shell_line *self(EditLine *edit)
{
    struct shell_line *line = NULL;
    el_get(edit, EL_CLIENTDATA, &line);
    ASSERT(line != NULL);
    return line;
}

static char *put_prompt(EditLine *edit) { return (char *)(uintptr_t)self(edit)->prompt; }

/* --- what comes while one types ------------------------------------------------------------------------------------------------ */

/* The columns that these bytes take; a character of a multibyte sequence counts once. */
static size_t columns_of(const char *text, size_t size)
{
    size_t columns = 0;
    mbstate_t state = {0};
    while (size > 0) {
        wchar_t wide;
        size_t used = mbrtowc(&wide, text, size, &state);
        if (used == 0 || used > size) used = 1;
        int width = wcwidth(wide);
        columns += width < 0 ? 1 : (size_t)width;
        text += used;
        size -= used;
    }
    return columns;
}

/* Takes the line and its prompt off the terminal; what is printed then stands above the line that is drawn again. */
static void take_away(const struct shell_line *line)
{
    const LineInfo *info = el_line(line->edit);
    struct winsize size = {.ws_col = 80};
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    size_t before = columns_of(line->prompt, strlen(line->prompt)) + columns_of(info->buffer, (size_t)(info->cursor - info->buffer));
    size_t rows = size.ws_col == 0 ? 0 : before / size.ws_col;
    printf("\r");
    if (rows > 0) printf("\033[%zuA", rows);
    printf("\033[J");
}

static void show_news(struct shell_line *line)
{
    bool is_first = true;
    while (shell_watch_has_news(line->watch)) {
        if (is_first) take_away(line);
        is_first = false;
        shell_watch_print(line->watch, line->ctl);
    }
    if (is_first) {
        shell_watch_print(line->watch, line->ctl); /* only takes the bell back */
        return;
    }
    fflush(stdout);
    el_set(line->edit, EL_REFRESH);
}

/* False: it ends the line. */
static bool on_signal(struct shell_line *line)
{
    struct signalfd_siginfo info;
    if (read(line->signals, &info, sizeof info) != (ssize_t)sizeof info) return true;
    switch ((int)info.ssi_signo) {
    case SIGWINCH: el_resize(line->edit); return true;
    case SIGTSTP:
    case SIGCHLD: return true;
    case SIGINT: line->was_cancelled = true; return false;
    default:
        line->signal = (int)info.ssi_signo;
        line->has_signal = true;
        return false;
    }
}

/* One byte of the terminal; 0 = a signal ends the line, -1 = there is no more. */
static int read_byte(struct shell_line *line, char *out_byte)
{
    for (;;) {
        struct pollfd places[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                   {.fd = line->signals, .events = POLLIN},
                                   {.fd = shell_watch_descriptor(line->watch), .events = POLLIN}};
        if (poll(places, 3, -1) < 0 && errno != EINTR) return -1;
        if (places[1].revents != 0 && !on_signal(line)) return 0;
        if (places[2].revents != 0) show_news(line);
        if (places[0].revents == 0) continue;
        ssize_t got = read(STDIN_FILENO, out_byte, 1);
        if (got == 1) return 1;
        if (got == 0 || (errno != EINTR && errno != EAGAIN)) return -1;
    }
}

static int get_character(EditLine *edit, wchar_t *out_character)
{
    struct shell_line *line = self(edit);
    for (;;) {
        char byte;
        int got = read_byte(line, &byte);
        if (got < 0) return 0;
        if (got == 0) {
            *out_character = CANCEL;
            return 1;
        }
        size_t used = mbrtowc(out_character, &byte, 1, &line->wide);
        if (used == (size_t)-2) continue; /* more is to come */
        if (used == (size_t)-1) line->wide = (mbstate_t){0};
        if (used == (size_t)-1) *out_character = (unsigned char)byte;
        return 1;
    }
}

static unsigned char on_cancel(EditLine *edit, wint_t character)
{
    struct shell_line *line = self(edit);
    const LineInfo *info = el_line(edit);
    (void)character;
    line->was_empty = info->lastchar == info->buffer;
    if (!line->has_signal) line->was_cancelled = true;
    if (line->was_cancelled) fputs("^C\n", stdout);
    fflush(stdout);
    return CC_NEWLINE;
}

/* --- completion -------------------------------------------------------------------------------------------------------------- */

static void list_words(const struct shell_complete *found)
{
    struct winsize size = {.ws_col = 80};
    size_t widest = 1;
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    for (size_t i = 0; i < found->count; i++) {
        size_t width = columns_of(found->words[i], strlen(found->words[i]));
        if (width > widest) widest = width;
    }
    size_t per_row = size.ws_col / (widest + 2);
    if (per_row == 0) per_row = 1;
    for (size_t i = 0; i < found->count; i++) {
        bool ends_row = (i + 1) % per_row == 0 || i + 1 == found->count;
        int pad = ends_row ? 0 : (int)(widest + 2 - columns_of(found->words[i], strlen(found->words[i])));
        printf("%s%s%*s", i % per_row == 0 ? "\n" : "", found->words[i], pad, "");
    }
    printf(found->has_more ? "\n…and more\n" : "\n");
    fflush(stdout);
}

/* In place of the word under the cursor what all candidates have in common. False: that says no more than what is there. */
static bool replace(EditLine *edit, const char *before, const struct shell_complete *found)
{
    struct buf text;
    bool is_only = found->count == 1 && !found->has_more;
    buf_init(&text);
    if (is_only) buf_printf(&text, "%s ", found->words[0]);
    else if (found->is_key) words_quote(&text, buf_slice(&found->common), false);
    else buf_put_slice(&text, buf_slice(&found->common));
    buf_put_u8(&text, '\0');
    const char *old = before + found->start, *new = (const char *)text.blob->data;
    bool is_news = found->common.size > 0 && strcasecmp(old, new) != 0;
    if (is_news) {
        wchar_t dummy;
        size_t characters = 0;
        mbstate_t state = {0};
        for (size_t left = strlen(old); left > 0; characters++) {
            size_t used = mbrtowc(&dummy, old, left, &state);
            if (used == 0 || used > left) used = 1;
            old += used;
            left -= used;
        }
        el_deletestr(edit, (int)characters);
        el_insertstr(edit, new);
    }
    buf_deinit(&text);
    return is_news;
}

static unsigned char on_tab(EditLine *edit, wint_t character)
{
    struct shell_line *line = self(edit);
    const LineInfo *info = el_line(edit);
    struct shell_complete found;
    struct buf before;
    (void)character;
    buf_init(&before);
    buf_put(&before, info->buffer, (size_t)(info->cursor - info->buffer));
    buf_put_u8(&before, '\0');
    shell_complete_init(&found);
    shell_complete_find(&found, (const char *)before.blob->data, shell_state_keys, line->state);
    unsigned char outcome = CC_ERROR;
    if (found.count > 0 && replace(edit, (const char *)before.blob->data, &found)) {
        outcome = CC_REFRESH;
    } else if (found.count > 1) {
        list_words(&found);
        outcome = CC_REDISPLAY;
    }
    shell_complete_deinit(&found);
    buf_deinit(&before);
    return outcome;
}

/* --- history ----------------------------------------------------------------------------------------------------------------- */

static const char *environment_or(const char *name, const char *otherwise)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? otherwise : text;
}

/* NULL, with a word about it, if there cannot be a history there. */
static char *find_history(void)
{
    const char *directory = environment_or("CLIENT_HISTORY_DIR", "history"), *file = environment_or("CLIENT_HISTORY_FILE", "kvcli_history");
    struct buf path;
    bool is_whole = strchr(file, '/') != NULL;
    if (!is_whole && mkdir(directory, 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "no history is kept: %s: %s\n", directory, strerror(errno));
        return NULL;
    }
    buf_init(&path);
    buf_printf(&path, "%s%s%s", is_whole ? "" : directory, is_whole ? "" : "/", file);
    buf_put_u8(&path, '\0');
    char *text = alloc_string((const char *)path.blob->data);
    buf_deinit(&path);
    return text;
}

static void keep(struct shell_line *line, const char *text)
{
    HistEvent event;
    if (text[0] == ' ' || text[0] == '\0') return;
    history(line->history, &event, H_ENTER, text);
    if (line->history_path == NULL) return;
    mode_t mask = umask(077); /* lines may hold values that others are not to see */
    int kept = history(line->history, &event, H_SAVE, line->history_path);
    (void)umask(mask);
    if (kept >= 0) return;
    fprintf(stderr, "no history is kept: %s cannot be written\n", line->history_path);
    alloc_free(line->history_path);
    line->history_path = NULL;
}

/* --- the face ---------------------------------------------------------------------------------------------------------------- */

static void set_up(struct shell_line *line)
{
    HistEvent event;
    line->edit = el_init("kvctl", stdin, stdout, stderr);
    line->history = history_init();
    ASSERT(line->edit != NULL && line->history != NULL);
    history(line->history, &event, H_SETSIZE, SHELL_LINE_HISTORY);
    history(line->history, &event, H_SETUNIQUE, 1);
    if (line->history_path != NULL) history(line->history, &event, H_LOAD, line->history_path);
    el_set(line->edit, EL_CLIENTDATA, line);
    el_set(line->edit, EL_SIGNAL, 0);
    el_set(line->edit, EL_EDITOR, "emacs");
    el_set(line->edit, EL_SETTY, "-x", "-echoctl", NULL); /* while a command runs: what comes behind a ^C would not begin a line */
    el_set(line->edit, EL_PROMPT, put_prompt);
    el_set(line->edit, EL_HIST, history, line->history);
    el_wset(line->edit, EL_ADDFN, L"kvctl-complete", L"completes a word", on_tab);
    el_wset(line->edit, EL_ADDFN, L"kvctl-cancel", L"clears the line", on_cancel);
    el_set(line->edit, EL_BIND, "^I", "kvctl-complete", NULL);
    el_set(line->edit, EL_BIND, "^G", "kvctl-cancel", NULL);
    el_set(line->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_wset(line->edit, EL_GETCFN, get_character);
}

struct shell_line *shell_line_new(const struct ctl *ctl, struct shell_state *state, struct shell_watch *watch)
{
    struct shell_line *line = ALLOC(struct shell_line);
    static const int numbers[] = {SIGINT, SIGWINCH, SIGTSTP}; /* Ctrl-C is a key here, whatever it was before */
    sigset_t set;
    line->ctl = ctl;
    line->state = state;
    line->watch = watch;
    line->prompt = "";
    if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
    ear_signals(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    line->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    ASSERT(line->signals >= 0);
    line->history_path = find_history();
    set_up(line);
    return line;
}

void shell_line_free(struct shell_line *line)
{
    if (line == NULL) return;
    el_end(line->edit);
    history_end(line->history);
    close(line->signals);
    alloc_free(line->history_path);
    alloc_free(line->text);
    alloc_free(line);
}

enum shell_line_kind shell_line_read(struct shell_line *line, const char *prompt, const char **out_text)
{
    int size = 0;
    line->prompt = prompt;
    line->was_cancelled = line->was_empty = false;
    fflush(stdout);
    const char *text = el_gets(line->edit, &size);
    if (line->has_signal) {
        putchar('\n');
        return SHELL_LINE_SIGNAL;
    }
    if (line->was_cancelled) return line->was_empty ? SHELL_LINE_EMPTY_CANCELLED : SHELL_LINE_CLEARED;
    if (text == NULL || size <= 0) {
        putchar('\n');
        return SHELL_LINE_END;
    }
    alloc_free(line->text);
    line->text = alloc_string(text);
    line->text[strcspn(line->text, "\r\n")] = '\0';
    keep(line, line->text);
    *out_text = line->text;
    return SHELL_LINE;
}

int shell_line_signal(const struct shell_line *line) { return line->signal; }
