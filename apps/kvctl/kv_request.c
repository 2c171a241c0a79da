/* kv_request: flags of get, put and del, and the encoding of their requests (proto3: what is zero is left out). */
#include "kv_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"

int kv_request_get_flags(struct ctl_options *o, struct flag *out_flags)
{
    o->consistency = "l";
    o->order = o->sort_by = "";
    const struct flag flags[] = {
        {"consistency", 0, FLAG_STRING, &o->consistency, "<l|s>", "linearizable (l) or serializable (s)", "Options", false},
        {"prefix", 0, FLAG_BOOL, &o->prefix, NULL, "all keys that begin with <key>", "Options", false},
        {"from-key", 0, FLAG_BOOL, &o->from_key, NULL, "all keys from <key> on, in byte order", "Options", false},
        {"limit", 0, FLAG_I64, &o->limit, "<n>", "at most so many keys; 0 = all", "Options", false},
        {"rev", 0, FLAG_I64, &o->rev, "<revision>", "the state as of this revision", "Options", false},
        {"order", 0, FLAG_STRING, &o->order, "<order>", "ASCEND or DESCEND", "Options", false},
        {"sort-by", 0, FLAG_STRING, &o->sort_by, "<what>", "CREATE, KEY, MODIFY, VALUE or VERSION", "Options", false},
        {"keys-only", 0, FLAG_BOOL, &o->keys_only, NULL, "without values", "Options", false},
        {"count-only", 0, FLAG_BOOL, &o->count_only, NULL, "only how many there are (-w fields or json)", "Options", false},
        {"print-value-only", 0, FLAG_BOOL, &o->print_value_only, NULL, "without keys (-w simple)", "Options", false},
        {"min-create-rev", 0, FLAG_I64, &o->min_create_rev, "<revision>", "created at or after", "Options", false},
        {"max-create-rev", 0, FLAG_I64, &o->max_create_rev, "<revision>", "created at or before", "Options", false},
        {"min-mod-rev", 0, FLAG_I64, &o->min_mod_rev, "<revision>", "changed at or after", "Options", false},
        {"stream", 0, FLAG_BOOL, &o->stream, NULL, "in pieces, as they come: for more than fits into one answer", "Options", false},
        {"max-mod-rev", 0, FLAG_I64, &o->max_mod_rev, "<revision>", "changed at or before", "Options", false},
    };
    ASSERT(sizeof flags / sizeof flags[0] <= KV_REQUEST_FLAGS_MAX);
    memcpy(out_flags, flags, sizeof flags);
    return (int)(sizeof flags / sizeof flags[0]);
}

int kv_request_put_flags(struct ctl_options *o, struct flag *out_flags)
{
    o->lease = "0";
    o->ttl = NULL;
    const struct flag flags[] = {
        {"lease", 0, FLAG_STRING, &o->lease, "<id>", "attach to this lease (hexadecimal)", "Options", false},
        {"ttl", 0, FLAG_STRING, &o->ttl, "<seconds>", "make a lease that lives so long, and attach to it", "Options", false},
        {"prev-kv", 0, FLAG_BOOL, &o->prev_kv, NULL, "print the pair as it was before", "Options", false},
        {"ignore-value", 0, FLAG_BOOL, &o->ignore_value, NULL, "keep the value as it is", "Options", false},
        {"ignore-lease", 0, FLAG_BOOL, &o->ignore_lease, NULL, "keep the lease as it is", "Options", false},
    };
    ASSERT(sizeof flags / sizeof flags[0] <= KV_REQUEST_FLAGS_MAX);
    memcpy(out_flags, flags, sizeof flags);
    return (int)(sizeof flags / sizeof flags[0]);
}

int kv_request_del_flags(struct ctl_options *o, struct flag *out_flags)
{
    const struct flag flags[] = {
        {"prefix", 0, FLAG_BOOL, &o->prefix, NULL, "all keys that begin with <key>", "Options", false},
        {"from-key", 0, FLAG_BOOL, &o->from_key, NULL, "all keys from <key> on, in byte order", "Options", false},
        {"range", 0, FLAG_BOOL, &o->range, NULL, "delete [key, range_end); said by range_end already", "Options", false},
        {"prev-kv", 0, FLAG_BOOL, &o->prev_kv, NULL, "print the pairs that are deleted", "Options", false},
    };
    ASSERT(sizeof flags / sizeof flags[0] <= KV_REQUEST_FLAGS_MAX);
    memcpy(out_flags, flags, sizeof flags);
    return (int)(sizeof flags / sizeof flags[0]);
}

static void put_int(struct buf *out, uint32_t field, int64_t value)
{
    ASSERT(field != 0);
    if (value != 0) buf_put_pb_varint(out, field, (uint64_t)value);
}

static void put_bytes(struct buf *out, uint32_t field, struct slice bytes)
{
    ASSERT(field != 0);
    if (bytes.size != 0) buf_put_pb_bytes(out, field, bytes);
}

/* range_end of a prefix: its last byte below 0xff plus one, and nothing behind; "\0" (no end) if there is none. */
void kv_request_prefix_end(struct buf *out, struct slice prefix)
{
    size_t size = prefix.size;
    while (size > 0 && prefix.data[size - 1] == 0xff) size--;
    if (size == 0) {
        buf_put_pb_bytes(out, 2, slice_make("", 1));
        return;
    }
    uint8_t *end = alloc_new(size);
    memcpy(end, prefix.data, size);
    end[size - 1]++;
    ASSERT(end[size - 1] != 0);
    buf_put_pb_bytes(out, 2, slice_make(end, size));
    alloc_free(end);
}

enum ctl_exit kv_request_interval(const struct ctl_options *options, const char *command, int count, const char **words,
                                  struct buf *out)
{
    if (options->prefix && options->from_key)
        return ctl_fail(CTL_BAD_ARGS, "`--prefix` and `--from-key` cannot be set at the same time, choose one");
    if (count < 1 || count > 2)
        return ctl_fail(CTL_BAD_ARGS, "%s command needs one argument as key and an optional argument as range_end", command);
    bool is_open = options->prefix || options->from_key;
    if (count == 2 && is_open)
        return ctl_fail(CTL_BAD_ARGS, "too many arguments, only accept one argument when `--prefix` or `--from-key` is set");
    struct slice key = slice_from_string(words[0]);
    bool is_everything = is_open && key.size == 0;
    if (is_everything) key = slice_make("", 1);
    ASSERT(key.data != NULL);
    put_bytes(out, 1, key);
    if (options->from_key || is_everything)
        buf_put_pb_bytes(out, 2, slice_make("", 1));
    else if (options->prefix)
        kv_request_prefix_end(out, key);
    else if (count == 2)
        put_bytes(out, 2, slice_from_string(words[1]));
    return CTL_OK;
}

/* The place of `text` among `names` (which end with NULL), whatever its case; -1 = not there. */
static int name_number(const char *text, const char *const *names)
{
    ASSERT(text != NULL);
    for (int i = 0; names[i] != NULL; i++)
        if (strcasecmp(text, names[i]) == 0) return i;
    return -1;
}

enum ctl_exit kv_request_get(const struct ctl_options *options, int count, const char **words, struct buf *out)
{
    static const char *const orders[] = {"", "ASCEND", "DESCEND", NULL};
    static const char *const targets[] = {"KEY", "VERSION", "CREATE", "MODIFY", "VALUE", NULL};
    enum ctl_exit code = kv_request_interval(options, "get", count, words, out);
    if (code != CTL_OK) return code;
    bool is_serializable = strcmp(options->consistency, "s") == 0;
    if (!is_serializable && strcmp(options->consistency, "l") != 0)
        return ctl_fail(CTL_BAD_FEATURE, "unknown consistency flag \"%s\"", options->consistency);
    int order = name_number(options->order, orders);
    if (order < 0) return ctl_fail(CTL_BAD_FEATURE, "bad sort order %s", options->order);
    int target = options->sort_by[0] == '\0' ? 0 : name_number(options->sort_by, targets);
    if (target < 0) return ctl_fail(CTL_BAD_FEATURE, "bad sort target %s", options->sort_by);
    ASSERT(order <= 2 && target <= 4);
    put_int(out, 3, options->limit);
    put_int(out, 4, options->rev);
    put_int(out, 5, order);
    put_int(out, 6, target);
    put_int(out, 7, is_serializable);
    put_int(out, 8, options->keys_only);
    put_int(out, 9, options->count_only);
    put_int(out, 10, options->min_mod_rev);
    put_int(out, 11, options->max_mod_rev);
    put_int(out, 12, options->min_create_rev);
    put_int(out, 13, options->max_create_rev);
    return CTL_OK;
}

enum ctl_exit kv_request_get_whole(const struct ctl_options *options, int count, const char **words, struct buf *out)
{
    if (options->stream) return ctl_fail(CTL_BAD_ARGS, "a get is answered at once here: --stream is for the command alone");
    return kv_request_get(options, count, words, out);
}

enum ctl_exit kv_request_del(const struct ctl_options *options, int count, const char **words, struct buf *out)
{
    enum ctl_exit code = kv_request_interval(options, "del", count, words, out);
    if (code != CTL_OK) return code;
    ASSERT(count >= 1);
    put_int(out, 3, options->prev_kv);
    return CTL_OK;
}

static enum ctl_exit parse_ttl(const struct ctl_options *options, int64_t lease, int64_t *out_ttl)
{
    if (options->ttl == NULL) return CTL_OK;
    char *end = NULL;
    errno = 0;
    int64_t ttl = strtoll(options->ttl, &end, 10);
    if (*end != '\0' || errno != 0 || ttl <= 0) return ctl_fail(CTL_BAD_ARGS, "bad TTL (\"%s\"), expecting seconds, 1 or more", options->ttl);
    if (lease != 0 || options->ignore_lease)
        return ctl_fail(CTL_BAD_ARGS, "`--ttl` cannot be set together with `--lease` or `--ignore-lease`, choose one");
    *out_ttl = ttl;
    return CTL_OK;
}

enum ctl_exit kv_request_put(const struct ctl_options *options, int count, const char **words, const struct slice *value,
                             struct buf *out)
{
    if (options->ignore_value && count > 1)
        return ctl_fail(CTL_BAD_ARGS, "put command needs only 1 argument when 'ignore-value' is set");
    if (count < 1 || count > 2 || (count == 1 && value == NULL && !options->ignore_value))
        return ctl_fail(CTL_BAD_ARGS, "put command needs 1 argument and input from stdin or 2 arguments");
    char *end = NULL;
    errno = 0;
    int64_t lease = strtoll(options->lease, &end, 16);
    if (end == options->lease || *end != '\0' || errno != 0)
        return ctl_fail(CTL_BAD_ARGS, "bad lease ID (\"%s\"), expecting ID in Hex", options->lease);
    int64_t ttl = 0;
    enum ctl_exit code = parse_ttl(options, lease, &ttl);
    if (code != CTL_OK) return code;
    ASSERT(words[0] != NULL);
    put_bytes(out, 1, slice_from_string(words[0]));
    if (count == 2)
        put_bytes(out, 2, slice_from_string(words[1]));
    else if (value != NULL && !options->ignore_value)
        put_bytes(out, 2, *value);
    put_int(out, 3, lease);
    put_int(out, 4, options->prev_kv);
    put_int(out, 5, options->ignore_value);
    put_int(out, 6, options->ignore_lease);
    put_int(out, 1000, ttl);
    return CTL_OK;
}
