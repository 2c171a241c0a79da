/* roff: what manual pages have in common, to stdout: text that roff does not take for its own, blocks that stay as they are, flags from their
 * table (base/flags.h). The macros are man(7)'s; headings and paragraphs are each page's own. Thread: start-up. */
#ifndef BASE_ROFF_H
#define BASE_ROFF_H
#include "base/flags.h"

void roff_put_text(const char *text); /* its first line, in UTF-8 */
void roff_put_block(const char *text); /* line by line */
/* A paragraph with a hanging head: "-w, --write-out <format>", the help, and what it is when nobody sets it. Without help nothing. */
void roff_put_flag(const struct flag *flag);
/* The same of a setting that has another name and help: NAME of a file of settings. */
void roff_put_setting(const char *name, const struct flag *flag, const char *help);

#endif
