/* table: headers centred, cells to the right. */
#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define CELL_BYTES_MAX 1024

void table_init(struct table *table, const char *const *headers, size_t columns)
{
    ASSERT(columns > 0 && columns <= TABLE_COLUMNS_MAX);
    *table = (struct table){.headers = headers, .columns = columns};
}

void table_deinit(struct table *table)
{
    if (table == NULL) return;
    for (size_t i = 0; i < table->count; i++) alloc_free(table->cells[i]);
    alloc_free(table->cells);
}

void table_add(struct table *table, const char *format, ...)
{
    char cell[CELL_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(cell, sizeof cell, format, arguments);
    va_end(arguments);
    ASSERT(length >= 0);
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 4 * table->columns : table->capacity * 2;
        table->cells = alloc_resize(table->cells, table->capacity * sizeof *table->cells);
    }
    table->cells[table->count++] = alloc_string(cell);
}

/* Characters, as far as UTF-8 tells: bytes that do not continue one. */
static int width_of(const char *text)
{
    int width = 0;
    ASSERT(text != NULL);
    for (const char *at = text; *at != '\0'; at++) width += ((unsigned char)*at & 0xc0) != 0x80;
    return width;
}

static void print_rule(const int *widths, size_t columns)
{
    for (size_t i = 0; i < columns; i++) {
        ASSERT(widths[i] >= 0);
        putchar('+');
        for (int w = 0; w < widths[i] + 2; w++) putchar('-');
    }
    puts("+");
}

void table_print(const struct table *table)
{
    int widths[TABLE_COLUMNS_MAX];
    ASSERT(table->count % table->columns == 0);
    for (size_t i = 0; i < table->columns; i++) widths[i] = (int)strlen(table->headers[i]);
    for (size_t i = 0; i < table->count; i++) {
        int width = width_of(table->cells[i]);
        if (width > widths[i % table->columns]) widths[i % table->columns] = width;
    }
    print_rule(widths, table->columns);
    for (size_t i = 0; i < table->columns; i++) {
        int gap = widths[i] - (int)strlen(table->headers[i]);
        printf("| %*s%s%*s ", gap / 2, "", table->headers[i], gap - gap / 2, "");
    }
    puts("|");
    print_rule(widths, table->columns);
    for (size_t i = 0; i < table->count; i++) {
        printf("| %*s%s ", widths[i % table->columns] - width_of(table->cells[i]), "", table->cells[i]);
        if ((i + 1) % table->columns == 0) puts("|");
    }
    print_rule(widths, table->columns);
}

void table_print_lines(const struct table *table)
{
    ASSERT(table->count % table->columns == 0);
    for (size_t i = 0; i < table->count; i++)
        printf("%s%s", table->cells[i], (i + 1) % table->columns == 0 ? "\n" : ", ");
}
