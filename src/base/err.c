/* err: the tables behind err.h, all made from the one list. */
#include "base/err.h"

#include "base/assert.h"

#define ERR_ROW(name, code, text) [ERR_##name] = {#name, text, ERR_CODE_##code},
static const struct {
    const char *name;
    const char *text;
    enum err_code code;
} err_rows[ERR_COUNT] = {ERR_LIST(ERR_ROW)};

STATIC_ASSERT(ERR_COUNT <= ERR_INNER_BIT, "the bit is no answer of its own");

static unsigned row_of(enum err err)
{
    unsigned row = (unsigned)err & ~(unsigned)ERR_INNER_BIT;
    ASSERT(row < ERR_COUNT);
    return row;
}

const char *err_text(enum err err) { return err_rows[row_of(err)].text; }

enum err_code err_grpc_code(enum err err)
{
    enum err_code code = err_rows[row_of(err)].code;
    return ((unsigned)err & ERR_INNER_BIT) != 0 ? ERR_CODE_UNKNOWN : code;
}

const char *err_name(enum err err) { return err_rows[row_of(err)].name; }
