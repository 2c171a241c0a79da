/* completion: bash and zsh walk the words of the line to the command, over flags and their values, and offer what its case says; fish is
 * told each word with the condition under which it fits. A plain word behind a command is a file's name, or nothing. */
#include "completion.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "commands.h"
#include "globals.h"

#define FORMATS "simple fields json protobuf table"
#define ORDERS "ASCEND DESCEND"
#define TARGETS "CREATE KEY MODIFY VALUE VERSION"
#define CONSISTENCIES "l s"

/* The first word of a command's name, with its length. */
static size_t first_size(const struct command *command) { return strcspn(command->name, " "); }

/* Whether the command is the first of its group, or in none. */
static bool is_first(const struct command *commands, size_t place)
{
    size_t size = first_size(&commands[place]);
    for (size_t i = 0; i < place; i++)
        if (commands[i].examples != NULL && first_size(&commands[i]) == size && strncmp(commands[i].name, commands[place].name, size) == 0)
            return false;
    return true;
}

static bool is_in_group(const struct command *command, const struct command *first)
{
    size_t size = first_size(first);
    return strncmp(command->name, first->name, size) == 0 && command->name[size] == ' ';
}

typedef void flag_fn(const struct flag *flag);

static void each_flag(const struct flag *flags, int count, flag_fn *fn)
{
    for (int i = 0; i < count; i++)
        if (flags[i].help != NULL) fn(&flags[i]);
}

static void each_own_flag(const struct command *command, flag_fn *fn)
{
    struct ctl_options options = {.prefix = false};
    struct flag flags[COMMANDS_FLAGS_MAX];
    each_flag(flags, commands_flags(command, &options, flags), fn);
}

static void each_global(flag_fn *fn)
{
    struct ctl_globals globals;
    struct flag flags[GLOBALS_FLAGS_MAX];
    each_flag(flags, globals_flags(&globals, flags), fn);
}

/* Text inside single quotes of a shell. */
static void put_quoted(const char *text)
{
    putchar('\'');
    for (; *text != '\0'; text++)
        if (*text == '\'') fputs("'\\''", stdout);
        else putchar(*text);
    putchar('\'');
}

/* --- bash and zsh ------------------------------------------------------------------------------------------------------------ */

static void put_flag_word(const struct flag *flag) { printf(" --%s", flag->name); }

static void put_valued(const struct flag *flag)
{
    if (flag->kind == FLAG_BOOL) return;
    printf(" --%s", flag->name);
    if (flag->letter != 0) printf(" -%c", flag->letter);
}

/* Each flag once that is followed by a value, of whatever command. */
static void put_all_valued(void)
{
    size_t count;
    const struct command *commands = commands_all(&count);
    each_global(put_valued);
    for (size_t i = 0; i < count; i++)
        if (commands[i].examples != NULL) each_own_flag(&commands[i], put_valued);
}

static void put_first_words(const struct command *commands, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (commands[i].examples != NULL && is_first(commands, i)) printf(" %.*s", (int)first_size(&commands[i]), commands[i].name);
}

/* The cases of `typed`: what words may follow, and which flags. */
static void put_cases(const char *indent)
{
    size_t count;
    const struct command *commands = commands_all(&count);
    printf("%s'') words='help", indent);
    put_first_words(commands, count);
    printf("' ;;\n");
    for (size_t i = 0; i < count; i++) {
        const struct command *command = &commands[i];
        if (command->examples == NULL) continue;
        if (command->name[first_size(command)] == ' ' && is_first(commands, i)) {
            printf("%s%.*s) words='", indent, (int)first_size(command), command->name);
            for (size_t k = i; k < count; k++)
                if (commands[k].examples != NULL && is_in_group(&commands[k], command)) printf(" %s", commands[k].name + first_size(command) + 1);
            printf("' ;;\n");
        }
        printf("%s'%s') flags='", indent, command->name);
        each_own_flag(command, put_flag_word);
        printf("'");
        if (strcmp(command->name, "completion") == 0) printf(" words='bash zsh fish'");
        printf(" ;;\n");
    }
}

/* The groups, as a pattern of a case. */
static void put_groups(void)
{
    size_t count;
    const struct command *commands = commands_all(&count);
    bool is_next = false;
    for (size_t i = 0; i < count; i++) {
        size_t size = first_size(&commands[i]);
        if (commands[i].examples == NULL || commands[i].name[size] != ' ' || !is_first(commands, i)) continue;
        printf("%s%.*s", is_next ? "|" : "", (int)size, commands[i].name);
        is_next = true;
    }
}

/* The end of a loop over the words that stand there: the command among them is `typed`. */
static void put_typed(void)
{
    printf("        help) ;;\n"
           "        *)\n"
           "            case $typed in\n"
           "            '') typed=$word ;;\n"
           "            ");
    put_groups();
    printf(") typed=\"$typed $word\" ;;\n"
           "            esac ;;\n"
           "        esac\n"
           "    done\n");
}

static void put_globals(void)
{
    printf("    local globals='");
    each_global(put_flag_word);
    printf("' valued=' ");
    put_all_valued();
    printf(" ' typed='' word='' i\n"); /* `path` and `words` are zsh's own */
}

static void print_bash(void)
{
    printf("# bash completion of kvctl, made by `kvctl completion bash`\n"
           "_kvctl()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' flags=''\n");
    put_globals();
    printf("    COMPREPLY=()\n"
           "    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n"
           "    [[ $cur == = ]] && cur=''\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        word=${COMP_WORDS[i]}\n"
           "        case $word in\n"
           "        =) ((i++)) ;;\n"
           "        -*) [[ $valued == *\" $word \"* && ${COMP_WORDS[i+1]} != = ]] && ((i++)) ;;\n");
    put_typed();
    printf("    case $prev in\n"
           "    -w|--write-out) words='" FORMATS "' cur=${cur#=} ;;\n"
           "    --order) words='" ORDERS "' ;;\n"
           "    --sort-by) words='" TARGETS "' ;;\n"
           "    --consistency) words='" CONSISTENCIES "' ;;\n"
           "    *)\n"
           "        [[ $valued == *\" $prev \"* ]] && return\n"
           "        case $typed in\n");
    put_cases("        ");
    printf("        esac\n"
           "        [[ $cur == -* ]] && words=\"$flags $globals\" ;;\n"
           "    esac\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
           "}\n"
           "complete -o default -F _kvctl kvctl\n");
}

static void put_description(const struct flag *flag)
{
    printf("        ");
    char text[512];
    (void)snprintf(text, sizeof text, "--%s:%s", flag->name, flag->help);
    put_quoted(text);
    putchar('\n');
}

static void put_zsh_commands(void)
{
    size_t count;
    const struct command *commands = commands_all(&count);
    char text[512];
    for (size_t i = 0; i < count; i++) {
        const struct command *command = &commands[i];
        size_t size = first_size(command);
        bool is_group = command->name[size] == ' ';
        if (command->examples == NULL || !is_first(commands, i)) continue;
        (void)snprintf(text, sizeof text, "%.*s:%s", (int)size, command->name, is_group ? "commands of this name" : command->summary);
        printf("        ");
        put_quoted(text);
        putchar('\n');
    }
}

/* Behind a flag that has a value. */
static void put_zsh_values(void)
{
    printf("    local prev=${words[CURRENT-1]}\n"
           "    compset -P '--*=' && prev=${IPREFIX%%=}\n"
           "    case $prev in\n"
           "    -w|--write-out) compadd -- " FORMATS "; return ;;\n"
           "    --order) compadd -- " ORDERS "; return ;;\n"
           "    --sort-by) compadd -- " TARGETS "; return ;;\n"
           "    --consistency) compadd -- " CONSISTENCIES "; return ;;\n"
           "    -*) if [[ $valued == *\" $prev \"* ]]; then _files; return; fi ;;\n"
           "    esac\n");
}

static void print_zsh(void)
{
    printf("#compdef kvctl\n# zsh completion of kvctl, made by `kvctl completion zsh`\n"
           "_kvctl()\n{\n    setopt localoptions noksharrays\n");
    put_globals();
    printf("    local -a commands options second\n    commands=(\n        'help:says more about a command'\n");
    put_zsh_commands();
    printf("    )\n    options=(\n");
    each_global(put_description);
    printf("    )\n"
           "    for ((i = 2; i < CURRENT; i++)); do\n"
           "        word=${words[i]}\n"
           "        case $word in\n"
           "        -*=*) ;;\n"
           "        -*) [[ $valued == *\" $word \"* ]] && ((i++)) ;;\n");
    put_typed();
    put_zsh_values();
    printf("    local offered=''\n    case $typed in\n    '') ;;\n");
    size_t count;
    const struct command *commands = commands_all(&count);
    for (size_t i = 0; i < count; i++) {
        const struct command *command = &commands[i];
        if (command->examples == NULL) continue;
        size_t size = first_size(command);
        if (command->name[size] == ' ' && is_first(commands, i)) {
            printf("    %.*s) second=(\n", (int)size, command->name);
            for (size_t k = i; k < count; k++) {
                char text[512];
                if (commands[k].examples == NULL || !is_in_group(&commands[k], command)) continue;
                (void)snprintf(text, sizeof text, "%s:%s", commands[k].name + size + 1, commands[k].summary);
                printf("        ");
                put_quoted(text);
                putchar('\n');
            }
            printf("    ) ;;\n");
        }
        printf("    '%s') options+=(\n", command->name);
        each_own_flag(command, put_description);
        printf("    )%s ;;\n", strcmp(command->name, "completion") == 0 ? " offered='bash zsh fish'" : "");
    }
    printf("    esac\n"
           "    if [[ ${words[CURRENT]} == -* ]]; then\n"
           "        _describe option options\n"
           "    elif [[ -z $typed ]]; then\n"
           "        _describe command commands\n"
           "    elif ((${#second})); then\n"
           "        _describe command second\n"
           "    elif [[ -n $offered ]]; then\n"
           "        compadd -- ${=offered}\n"
           "    else\n"
           "        _files\n"
           "    fi\n"
           "}\n"
           "if [[ $funcstack[1] == _kvctl ]]; then _kvctl \"$@\"; else compdef _kvctl kvctl; fi\n");
}

/* --- fish -------------------------------------------------------------------------------------------------------------------- */

static const char *values_of(const char *flag)
{
    static const char *const values[][2] = {
        {"write-out", FORMATS}, {"order", ORDERS}, {"sort-by", TARGETS}, {"consistency", CONSISTENCIES}};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        if (strcmp(flag, values[i][0]) == 0) return values[i][1];
    return NULL;
}

static void put_fish_flag(const struct flag *flag)
{
    const char *values = values_of(flag->name);
    if (values != NULL) printf(" -f -a '%s'", values);
    printf(" -l %s", flag->name);
    if (flag->letter != 0) printf(" -s %c", flag->letter);
    if (flag->kind != FLAG_BOOL) printf(" -r");
    printf(" -d ");
    put_quoted(flag->help);
    putchar('\n');
}

static void put_fish_global(const struct flag *flag)
{
    printf("complete -c kvctl");
    put_fish_flag(flag);
}

/* The condition, of a command's flags, or of its second word. */
static void put_fish_condition(const struct command *command, bool is_second)
{
    size_t size = first_size(command);
    printf("complete -c kvctl -n '__fish_seen_subcommand_from %.*s", (int)size, command->name);
    if (!is_second && command->name[size] == ' ') printf("; and __fish_seen_subcommand_from %s", command->name + size + 1);
    printf("'");
}

static void print_fish(void)
{
    size_t count;
    const struct command *commands = commands_all(&count);
    printf("# fish completion of kvctl, made by `kvctl completion fish`\n");
    each_global(put_fish_global);
    for (size_t i = 0; i < count; i++) {
        const struct command *command = &commands[i];
        size_t size = first_size(command);
        bool is_grouped = command->name[size] == ' ';
        if (command->examples == NULL) continue;
        if (is_first(commands, i)) {
            printf("complete -c kvctl -f -n __fish_use_subcommand -a %.*s -d ", (int)size, command->name);
            put_quoted(is_grouped ? "commands of this name" : command->summary);
            putchar('\n');
        }
        if (is_grouped) {
            put_fish_condition(command, true);
            printf(" -f -a %s -d ", command->name + size + 1);
            put_quoted(command->summary);
            putchar('\n');
        }
        struct ctl_options options = {.prefix = false};
        struct flag flags[COMMANDS_FLAGS_MAX];
        int flag_count = commands_flags(command, &options, flags);
        for (int k = 0; k < flag_count; k++) {
            if (flags[k].help == NULL) continue;
            put_fish_condition(command, false);
            put_fish_flag(&flags[k]);
        }
    }
    printf("complete -c kvctl -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n");
}

enum ctl_exit completion_command(struct ctl *ctl, int count, const char **words)
{
    ASSERT(ctl != NULL);
    if (count == 1 && strcmp(words[0], "bash") == 0) print_bash();
    else if (count == 1 && strcmp(words[0], "zsh") == 0) print_zsh();
    else if (count == 1 && strcmp(words[0], "fish") == 0) print_fish();
    else return ctl_fail(CTL_BAD_ARGS, "completion command needs the name of a shell: bash, zsh or fish");
    return CTL_OK;
}
