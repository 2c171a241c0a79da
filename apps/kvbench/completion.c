/* completion: see the header. */
#include "completion.h"

#include <stdio.h>
#include <string.h>

#include "settings.h"

/* Flags whose values are words of a list. */
static const struct {
    const char *flag, *words;
} VALUES[] = {{"write-out", "table json"}, {"dist", "uniform zipf latest"}, {"live", "json line none"}, {"ycsb", "a b c d e f"}};
#define VALUE_COUNT (sizeof VALUES / sizeof VALUES[0])

static bool is_file(const struct flag *flag) { return flag->value_name != NULL && strcmp(flag->value_name, "<path>") == 0; }

static void put_flags(const struct settings_flag *all, int count, uint32_t of)
{
    for (int i = 0; i < count; i++)
        if ((all[i].of & of) != 0) printf(" --%s", all[i].flag.name);
}

static void put_workloads(void)
{
    for (int i = 0; i < COMMAND_COUNT; i++) printf(" %s", settings_command((enum command)i)->name);
}

static void print_bash(const struct settings_flag *all, int count)
{
    printf("# bash completion of kvbench, made by `kvbench completion bash`\n"
           "_kvbench()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' flags='' compares='' workload='' i\n"
           "    COMPREPLY=()\n    [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n    [[ $cur == = ]] && cur=''\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n        case ${COMP_WORDS[i]} in\n        compare) compares=' ");
    put_flags(all, count, OF_COMPARE);
    printf("' ;;\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const char *name = settings_command((enum command)i)->name;
        printf("        %s) workload=%s flags='", name, name);
        put_flags(all, count, OF(i));
        printf("' ;;\n");
    }
    printf("        esac\n    done\n    case $prev in\n");
    for (size_t i = 0; i < VALUE_COUNT; i++) printf("    %s--%s) words='%s' ;;\n", i == 0 ? "-w|" : "", VALUES[i].flag, VALUES[i].words);
    for (int i = 0; i < count; i++)
        if (is_file(&all[i].flag)) printf("    --%s) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n", all[i].flag.name);
    for (int i = 0; i < count; i++) {
        bool has_words = false;
        for (size_t k = 0; k < VALUE_COUNT; k++) has_words = has_words || strcmp(all[i].flag.name, VALUES[k].flag) == 0;
        if (all[i].flag.kind != FLAG_BOOL && !is_file(&all[i].flag) && !has_words) printf("    --%s) return ;;\n", all[i].flag.name);
    }
    printf("    *)\n        [[ -z $workload ]] && words='");
    put_workloads();
    printf("' && [[ -z $compares ]] && words+=' compare'\n        [[ $cur == -* ]] && words=\"$flags$compares --help\" ;;\n    esac\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\ncomplete -F _kvbench kvbench\n");
}

static void put_quoted(const char *text)
{
    putchar('\'');
    for (; *text != '\0'; text++)
        if (*text == '\'') fputs("\\'", stdout);
        else putchar(*text);
    putchar('\'');
}

static void print_fish(const struct settings_flag *all, int count)
{
    printf("# fish completion of kvbench, made by `kvbench completion fish`\n");
    for (int i = 0; i <= COMMAND_COUNT; i++) {
        const struct command_row *row = i == COMMAND_COUNT ? settings_compare() : settings_command((enum command)i);
        printf("complete -c kvbench -f -n 'not __fish_seen_subcommand_from");
        put_workloads();
        printf("' -a %s -d ", row->name);
        put_quoted(row->summary);
        putchar('\n');
    }
    for (int i = 0; i < count; i++) {
        printf("complete -c kvbench -n '__fish_seen_subcommand_from");
        for (int k = 0; k < COMMAND_COUNT; k++)
            if ((all[i].of & OF(k)) != 0) printf(" %s", settings_command((enum command)k)->name);
        printf("%s' -l %s", (all[i].of & OF_COMPARE) != 0 ? " compare" : "", all[i].flag.name);
        if (all[i].flag.letter != 0) printf(" -s %c", all[i].flag.letter);
        if (all[i].flag.kind != FLAG_BOOL) printf(is_file(&all[i].flag) ? " -r" : " -x");
        for (size_t k = 0; k < VALUE_COUNT; k++)
            if (strcmp(all[i].flag.name, VALUES[k].flag) == 0) printf(" -a '%s'", VALUES[k].words);
        printf(" -d ");
        put_quoted(all[i].flag.help);
        putchar('\n');
    }
}

bool completion_print(const char *shell)
{
    struct settings settings;
    struct settings_flag all[SETTINGS_FLAGS_MAX];
    int count = settings_flags(&settings, all);
    bool is_bash = strcmp(shell, "bash") == 0, is_fish = strcmp(shell, "fish") == 0;
    if (is_bash) print_bash(all, count);
    if (is_fish) print_fish(all, count);
    return is_bash || is_fish;
}
