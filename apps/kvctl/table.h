/* table: rows of text: drawn as a table as etcdctl draws it, or one line per row with ", " between the cells.
 * Owner: table_init/table_deinit; cells are copied. Thread: main. Limits: TABLE_COLUMNS_MAX. */
#ifndef KVCTL_TABLE_H
#define KVCTL_TABLE_H
#include <stdbool.h>
#include <stddef.h>

#define TABLE_COLUMNS_MAX 16

struct table {
    const char *const *headers;
    size_t columns;
    char **cells;
    size_t count;    /* of cells; a row is complete at a multiple of columns */
    size_t capacity;
};
void table_init(struct table *table, const char *const *headers, size_t columns);
void table_deinit(struct table *table);
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3))); /* the next cell */
void table_print(const struct table *table);       /* to stdout */
void table_print_lines(const struct table *table);

#endif
