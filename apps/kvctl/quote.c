/* quote: see the header. */
#include "quote.h"

#include "base/assert.h"

/* Bytes of the well-formed UTF-8 character at `at`, 0 = it is none. */
static size_t utf8_size(const uint8_t *at, size_t left)
{
    ASSERT(left > 0);
    size_t size = at[0] < 0x80 ? 1 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : at[0] >= 0xe0 ? 3 : at[0] >= 0xc2 ? 2 : 0;
    if (size == 0 || size > left || at[0] >= 0xf5) return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    if (size == 3 && ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f))) return 0;
    if (size == 4 && ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))) return 0;
    return size;
}

static uint32_t utf8_value(const uint8_t *at, size_t size)
{
    ASSERT(size >= 1 && size <= 4);
    uint32_t value = size == 1 ? at[0] : at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) value = value << 6 | (at[i] & 0x3fu);
    return value;
}

/* Spaces other than U+0020, control and format characters, private use: what Go does not print as it is. (Code points without a
 * meaning in Unicode are printed; Go would escape those too.) */
static bool is_graphic(uint32_t c)
{
    static const uint32_t ranges[][2] = {{0x80, 0xa0},     {0xad, 0xad},     {0x600, 0x605},   {0x61c, 0x61c},   {0x6dd, 0x6dd},
                                         {0x70f, 0x70f},   {0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f},
                                         {0x205f, 0x206f}, {0x3000, 0x3000}, {0xe000, 0xf8ff}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb},
                                         {0xe0000, 0x10ffff}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return false;
    ASSERT(c <= 0xe0000);
    return true;
}

void quote_put(struct buf *out, struct slice bytes)
{
    static const char letters[] = "abtnvfr"; /* of the control characters 7 to 13 */
    buf_put_u8(out, '"');
    for (size_t i = 0; i < bytes.size;) {
        uint8_t c = bytes.data[i];
        size_t width = utf8_size(bytes.data + i, bytes.size - i);
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c >= 7 && c <= 13)
            buf_printf(out, "\\%c", letters[c - 7]);
        else if (width == 0 || c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else if (!is_graphic(utf8_value(bytes.data + i, width)))
            buf_printf(out, width == 4 ? "\\U%08x" : "\\u%04x", utf8_value(bytes.data + i, width));
        else
            buf_put(out, bytes.data + i, width);
        i += width == 0 ? 1 : width;
        ASSERT(i <= bytes.size);
    }
    buf_put_u8(out, '"');
}
