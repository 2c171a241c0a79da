/* roff: see roff.h. */
#include "base/roff.h"

#include <stdio.h>

#include "base/assert.h"

/* A character beyond ASCII by its number; the last byte of it. What is no UTF-8 ends with the text. */
static const char *put_wide(const char *at)
{
    unsigned char first = (unsigned char)*at;
    uint32_t code = first < 0xe0 ? first & 0x1fu : first < 0xf0 ? first & 0x0fu : first & 0x07u;
    for (; ((unsigned char)at[1] & 0xc0) == 0x80; at++) code = code << 6 | ((unsigned char)at[1] & 0x3fu);
    printf("\\[u%04X]", (unsigned)code);
    return at;
}

void roff_put_text(const char *text)
{
    ASSERT(text != NULL);
    if (*text == '.' || *text == '\'') fputs("\\&", stdout); /* not a request */
    for (; *text != '\0' && *text != '\n'; text++) {
        switch (*text) {
        case '\\': fputs("\\e", stdout); break;
        case '-': fputs("\\-", stdout); break;
        case '\'': fputs("\\(aq", stdout); break;
        case '`': fputs("\\(ga", stdout); break;
        case '~': fputs("\\(ti", stdout); break;
        case '^': fputs("\\(ha", stdout); break;
        default:
            if ((unsigned char)*text >= 0x80) text = put_wide(text);
            else putchar(*text);
        }
    }
}

void roff_put_block(const char *text)
{
    printf(".PP\n.nf\n");
    for (const char *at = text; *at != '\0'; at++) {
        if (at != text && at[-1] != '\n') continue;
        roff_put_text(at);
        putchar('\n');
    }
    printf(".fi\n");
}

static void put_rest(const struct flag *flag, const char *help)
{
    struct buf value;
    if (flag->value_name != NULL) {
        printf(" \\fI");
        roff_put_text(flag->value_name);
        printf("\\fR");
    }
    putchar('\n');
    roff_put_text(help);
    buf_init(&value);
    flags_default_text(flag, &value);
    buf_put_u8(&value, 0);
    if (value.size > 1) {
        printf(" (default ");
        roff_put_text((const char *)buf_slice(&value).data);
        putchar(')');
    }
    buf_deinit(&value);
    putchar('\n');
}

void roff_put_flag(const struct flag *flag)
{
    ASSERT(flag->name != NULL);
    if (flag->help == NULL) return;
    printf(".TP\n");
    if (flag->letter != 0) printf("\\fB\\-%c\\fR, ", flag->letter);
    printf("\\fB\\-\\-");
    roff_put_text(flag->name);
    printf("\\fR");
    put_rest(flag, flag->help);
}

void roff_put_setting(const char *name, const struct flag *flag, const char *help)
{
    ASSERT(name[0] != '\0' && help != NULL);
    printf(".TP\n\\fB");
    roff_put_text(name);
    printf("\\fR");
    put_rest(flag, help);
}
