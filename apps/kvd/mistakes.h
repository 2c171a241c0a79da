/* mistakes: what is wrong with a configuration, all of it, each with its place and what may have been meant.
 * Owner: mistakes_deinit frees the texts. Thread: one. Limits: MISTAKES_MAX are kept, the others counted. */
#ifndef KVD_MISTAKES_H
#define KVD_MISTAKES_H
#include "base/buf.h"

#define MISTAKES_MAX 100

struct mistake {
    char *place;   /* "config.env:7", "--name", "ETCD_NAME", or "" where the text says it */
    char *text;
    char *hint;    /* the word that may have been meant; "" = none comes to mind */
    uint32_t line; /* of the file; 0 = of no line */
};
struct mistakes {
    struct mistake items[MISTAKES_MAX];
    int count;
    int more; /* that were not kept */
};

void mistakes_deinit(struct mistakes *mistakes);
/* `hint` NULL = none. */
void mistakes_add(struct mistakes *mistakes, const char *place, uint32_t line, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* In the order of the lines, then those of no line. */
void mistakes_sort(struct mistakes *mistakes);
/* One line, without its end: "PLACE: text; did you mean HINT?" */
void mistakes_text(const struct mistake *mistake, struct buf *out_text);

#endif
