/* kv_text: requests and responses of the KV service as short text, so that a test of transactions reads as a story.
 *
 * Requests (text → protobuf bytes):
 *   put     "a=1,lease=7,prev,keepvalue,keeplease,ttl=60"
 *   delete  "a..c,prev"            "a" one key · "a..c" [a, c) · "a..*" all keys from a on · "*..*" everything
 *   range   "a..c,limit=2,rev=3,order=2,target=1,local,keys,count,minmod=1,maxmod=2,mincreate=3,maxcreate=4"
 *   txn     "if mod(a)=3 val(b..c)>x then put(a=1) del(b) get(c,rev=2) else txn{then get(a)} none"
 *           targets ver create mod val lease · operators = != > < · "none" is an operation with nothing set
 * Responses (bytes → text, through protobuf-c, so that our own encoder is not its own judge):
 *   range   "get@5{a=1/2.3.4 b=…/2.2.1/l7} more count=9"   key=value/create.mod.version[/l lease]; "@" revision of a header if any
 *   put     "put@5{…}/l400/t60" (lease and TTL if it made one)   delete  "del@5 n=2{…}"   txn  "yes@5[put{} get{…}]" or "no[…]"
 * Owner: the caller deinits the buf that it gets. Thread: any.
 */
#ifndef TEST_KV_TEXT_H
#define TEST_KV_TEXT_H
#include "base/buf.h"

struct buf kv_text_put(const char *text);
struct buf kv_text_delete(const char *text);
struct buf kv_text_range(const char *text);
struct buf kv_text_txn(const char *text);

/* Each appends a NUL, so that the bytes are a C string. */
struct buf kv_text_of_range(struct slice response);
struct buf kv_text_of_put(struct slice response);
struct buf kv_text_of_delete(struct slice response);
struct buf kv_text_of_txn(struct slice response);
static inline const char *kv_text_string(const struct buf *buf) { return (const char *)buf_slice(buf).data; }

#endif
