/* kvd_pages: a range in pages: each begins behind the last key of the one before, at the revision of the first. */
#include "base/alloc.h"
#include "base/assert.h"
#include "client/client_inner.h"

#define LIMIT_DEFAULT 1000

struct kvd_pages {
    struct kvd_range_options options; /* range_end points into `end` */
    struct buf next, end;             /* the key that the next page begins with */
    bool is_over;
    const char *mistake;
};

struct kvd_pages *kvd_pages_new(struct kvd_bytes key, const struct kvd_range_options *options)
{
    struct kvd_pages *pages = ALLOC(struct kvd_pages);
    struct slice first = client_slice(key), end;
    if (options != NULL) pages->options = *options;
    struct kvd_range_options *own = &pages->options;
    buf_init(&pages->next);
    buf_init(&pages->end);
    bool is_sorted = own->order != KVD_SORT_NONE || own->target != KVD_SORT_KEY;
    if (is_sorted || own->count_only || own->min_mod_revision + own->max_mod_revision + own->min_create_revision + own->max_create_revision != 0)
        pages->mistake = "pages come in the order of keys, without filters of revisions";
    if (own->limit < 0 || own->is_prefix + own->is_from_key + (own->range_end.size > 0) > 1) pages->mistake = "the limit or the interval makes no sense";
    if (own->limit == 0) own->limit = LIMIT_DEFAULT;
    client_interval(&first, own->range_end, own->is_prefix, own->is_from_key, &pages->end, &end);
    if (pages->end.size == 0) buf_put_slice(&pages->end, end);
    buf_put_slice(&pages->next, first);
    own->range_end = client_bytes(buf_slice(&pages->end));
    own->is_prefix = own->is_from_key = false;
    return pages;
}

struct kvd_result *kvd_pages_next(struct kvd_client *client, struct kvd_pages *pages, const struct kvd_call_options *options)
{
    if (pages->is_over) return NULL;
    pages->is_over = true;
    if (pages->mistake != NULL) return client_result_refused(KVD_INVALID, pages->mistake);
    struct kvd_result *page = kvd_call(client, kvd_range(client_bytes(buf_slice(&pages->next)), &pages->options), options);
    if (page->code != KVD_OK) return page;
    if (pages->options.revision == 0) pages->options.revision = page->header.revision;
    pages->is_over = !page->has_more || page->pair_count == 0;
    if (pages->is_over) return page;
    buf_clear(&pages->next);
    buf_put_slice(&pages->next, client_slice(page->pairs[page->pair_count - 1].key));
    buf_put_u8(&pages->next, 0);
    return page;
}

void kvd_pages_free(struct kvd_pages *pages)
{
    if (pages == NULL) return;
    buf_deinit(&pages->next);
    buf_deinit(&pages->end);
    alloc_free(pages);
}
