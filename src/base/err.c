/* err: the tables behind err.h, all made from the one list. */
#include "base/err.h"

#include "base/assert.h"

#define ERR_ROW(name, code, text) [ERR_##name] = {#name, text, ERR_CODE_##code},
static const struct {
    const char *name;
    const char *text;
    enum err_code code;
} err_rows[ERR_COUNT] = {ERR_LIST(ERR_ROW)};

const char *err_text(enum err err)
{
    ASSERT(err < ERR_COUNT);
    return err_rows[err].text;
}

enum err_code err_grpc_code(enum err err)
{
    ASSERT(err < ERR_COUNT);
    return err_rows[err].code;
}

const char *err_name(enum err err)
{
    ASSERT(err < ERR_COUNT);
    return err_rows[err].name;
}
