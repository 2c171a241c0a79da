/* print_extra: what kvd.v1 answers, in the formats of -w, page by page.
 * Owner: begin and end; between them the pages are borrowed. Thread: main. Limits: PRINT_EXTRA_MEMBERS_MAX members in one list. */
#ifndef KVCTL_PRINT_EXTRA_H
#define KVCTL_PRINT_EXTRA_H
#include "extra.h"
#include "json.h"
#include "table.h"

#define PRINT_EXTRA_MEMBERS_MAX KVD_ENDPOINTS_MAX

struct print_history {
    const struct ctl *ctl;
    struct json json;
    struct table table;
    bool has_page;
};
void print_history_begin(struct print_history *print, const struct ctl *ctl);
void print_history_page(struct print_history *print, const Kvd__V1__HistoryResponse *page);
void print_history_end(struct print_history *print, bool is_whole);

struct print_watchers {
    const struct ctl *ctl;
    struct json json;
    struct table table;
    uint64_t members[PRINT_EXTRA_MEMBERS_MAX]; /* that were told */
    size_t member_count;
};
void print_watchers_begin(struct print_watchers *print, const struct ctl *ctl);
/* False: this member was told already. */
bool print_watchers_page(struct print_watchers *print, const char *endpoint, const Kvd__V1__WatchersResponse *page, bool is_first);
void print_watchers_end(struct print_watchers *print);

#endif
