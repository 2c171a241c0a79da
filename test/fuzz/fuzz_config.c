/* fuzz_config: a configuration file: first 'e' or 'y', then the bytes of a config.env or of a YAML file. Whatever they are, every mistake has a
 * text; what has none gives a member with values that a start would take, and its settings are read again as they were written. Thread: one. */
#include <string.h>

#include "base/alloc.h"
#include "config_file.h"
#include "fuzz/fuzz.h"

static void check_again(const struct options *options)
{
    struct buf text;
    buf_init(&text);
    for (int i = 0; i < options->setting_count; i++) {
        buf_clear(&text);
        if (options->flags[i].kind == FLAG_STRING) continue; /* any text is one */
        flags_value_text(&options->flags[i], true, &text);
        buf_put_u8(&text, 0);
        bool is_good = flags_set(&options->flags[i], (const char *)buf_slice(&text).data);
        ASSERT(is_good);
    }
    buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct options *options = ALLOC(struct options);
    options_begin(options);
    options->file = "f";
    options->file_kind = data[0] == 'e' ? OPTIONS_ENV : OPTIONS_YAML;
    options->is_check = true;
    config_file_parse(options, slice_make(data + 1, size - 1));
    options_check_values(options);
    mistakes_sort(&options->mistakes);
    for (int i = 0; i < options->mistakes.count; i++) {
        const struct mistake *mistake = &options->mistakes.items[i];
        ASSERT(mistake->text[0] != '\0' && mistake->place[0] == 'f' && (mistake->line == 0) == (mistake->place[1] == '\0'));
        ASSERT(i == 0 || mistake[-1].line - 1 <= mistake->line - 1);
    }
    if (options->mistakes.count == 0) {
        ASSERT(options->config.data_dir_path[0] != '\0' && options->config.calls_max > 0);
        check_again(options);
    }
    options_deinit(options);
    alloc_free(options);
    return 0;
}
