/* fuzz_readpb: a byte of flags, a byte for the message, and its bytes, as they are, as a program (pb_program), in hexadecimal or in base64.
 * What passes the check is shown, as JSON that can be read; what does not has an offset inside the bytes. What the generated code accepts
 * of bytes that passed is not looked at: it refuses some that we show as unknown fields. Thread: one. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "fuzz/pb_program.h"
#include "fuzz/tool_rig.h"
#include "readpb_print.h"
#include "tool_message.h"

static void check_offset(const ProtobufCMessageDescriptor *descriptor, struct slice bytes)
{
    struct tool_message_error error = {.offset = SIZE_MAX};
    bool is_good = tool_message_check(descriptor, bytes, &error);
    ASSERT(is_good || (error.offset <= bytes.size && error.reason != NULL && error.message != NULL));
}

static void print(uint8_t flags, const ProtobufCMessageDescriptor *descriptor, struct slice bytes)
{
    static const enum readpb_print_encoding encodings[] = {READPB_PRINT_RAW, READPB_PRINT_RAW, READPB_PRINT_HEX, READPB_PRINT_BASE64};
    struct tool_rig tool;
    tool_rig_init(&tool, NULL, (flags & 1) != 0);
    enum tool_exit code = readpb_print(&tool.tool, descriptor->name, bytes, encodings[flags >> 1 & 3]);
    tool_rig_check(&tool);
    ASSERT(code == TOOL_CLEAN || tool.size == 0);
    ASSERT(code == TOOL_CLEAN || code == TOOL_CORRUPT || (flags >> 1 & 3) >= 2);
    tool_rig_deinit(&tool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    uint8_t flags = data[0];
    const ProtobufCMessageDescriptor *descriptor = tool_message_at(data[1] % tool_message_count());
    struct buf program;
    buf_init(&program);
    struct slice bytes = slice_make(data + 2, size - 2);
    if ((flags & 8) != 0) descriptor = tool_message_find("kvd.Envelope");
    if ((flags & 16) != 0) {
        pb_program_run(bytes, &program);
        bytes = buf_slice(&program);
    }
    check_offset(descriptor, bytes);
    print(flags, descriptor, bytes);
    buf_deinit(&program);
    return 0;
}
