/* assert: the two ways in which a node stops. They write with write(2) from the stack: the heap may be the patient. */
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ASSERT_LINE_MAX 1024

/* One line, one write; cut if long. What cannot be written is lost: the node stops either way. */
static void write_line(char *line, int length)
{
    size_t size = length < 0 ? 0 : (size_t)length;
    if (size > ASSERT_LINE_MAX - 1) size = ASSERT_LINE_MAX - 1;
    line[size] = '\n';
    ssize_t written = write(STDERR_FILENO, line, size + 1);
    (void)written;
}

void assert_fail(const char *expression, const char *file, int line, const char *function)
{
    char text[ASSERT_LINE_MAX];
    int length = snprintf(text, sizeof text, "assertion failed: %s at %s:%d (%s)", expression, file, line, function);
    write_line(text, length);
    abort();
}

static void (*fatal_handler)(const char *text);

void fatal_set_handler(void (*handler)(const char *text)) { fatal_handler = handler; }

void fatal(const char *format, ...)
{
    static const char prefix[] = "fatal: ";
    char text[ASSERT_LINE_MAX] = "fatal: ";
    size_t used = sizeof prefix - 1;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text + used, sizeof text - used, format, arguments);
    va_end(arguments);
    if (fatal_handler != NULL) fatal_handler(text);
    write_line(text, length < 0 ? (int)used : length + (int)used);
    _exit(FATAL_EXIT_CODE);
}
