/* batch_input: see the header. */
#include "batch_input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#define READ_BYTES 65536

enum ctl_exit batch_input_open(struct batch_input *input, const char *path)
{
    bool is_standard = path == NULL || strcmp(path, "-") == 0;
    struct stat stat;
    *input = (struct batch_input){.descriptor = is_standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)};
    buf_init(&input->part);
    if (input->descriptor < 0) return ctl_fail(CTL_INVALID_INPUT, "open %s: %s", path, strerror(errno));
    if (fstat(input->descriptor, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size > 0) input->total = (uint64_t)stat.st_size;
    return CTL_OK;
}

void batch_input_close(struct batch_input *input)
{
    buf_deinit(&input->part);
    if (input->descriptor > STDIN_FILENO) close(input->descriptor);
}

/* The end of the line at input->at; NULL = it is not read yet. */
static uint8_t *line_end(struct batch_input *input)
{
    if (input->part.size == input->at) return NULL;
    return memchr(input->part.blob->data + input->at, '\n', input->part.size - input->at);
}

bool batch_input_is_ready(struct batch_input *input)
{
    struct pollfd place = {.fd = input->descriptor, .events = POLLIN};
    return input->is_over || line_end(input) != NULL || poll(&place, 1, 0) != 0;
}

/* More of the input behind what is there; what was given out makes room. */
static const char *read_more(struct batch_input *input)
{
    if (input->at > 0) {
        memmove(input->part.blob->data, input->part.blob->data + input->at, input->part.size - input->at);
        input->part.size -= input->at;
        input->at = 0;
    }
    if (input->part.size > BATCH_LINE_BYTES_MAX) return "the line is longer than 16 MiB";
    buf_reserve(&input->part, READ_BYTES);
    ssize_t got = read(input->descriptor, input->part.blob->data + input->part.size, READ_BYTES);
    if (got < 0 && errno == EINTR) return NULL;
    if (got < 0) return strerror(errno);
    input->part.size += (size_t)got;
    input->is_over = got == 0;
    return NULL;
}

char *batch_input_next(struct batch_input *input, const char **out_wrong)
{
    uint8_t *end;
    *out_wrong = NULL;
    while ((end = line_end(input)) == NULL && !input->is_over)
        if ((*out_wrong = read_more(input)) != NULL) {
            input->line++;
            input->is_over = true;
            return NULL;
        }
    if (end == NULL && input->at == input->part.size) return NULL;
    input->line++;
    if (end == NULL) { /* the last line has no end */
        buf_put_u8(&input->part, '\n');
        end = input->part.blob->data + input->part.size - 1;
    }
    uint8_t *start = input->part.blob->data + input->at;
    input->at += (size_t)(end - start) + 1;
    input->bytes += (uint64_t)(end - start) + 1;
    if (input->total != 0 && input->bytes > input->total) input->total = input->bytes; /* it grows, or lacks its last end */
    if (memchr(start, '\0', (size_t)(end - start)) != NULL) *out_wrong = "the line holds a NUL byte";
    if (end > start && end[-1] == '\r') end--;
    *end = '\0';
    return *out_wrong != NULL ? NULL : (char *)start;
}
