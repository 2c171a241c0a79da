/* config_print: what --check-config and --print say. All to stdout, but mistakes in words, which go to stderr. Thread: main. */
#ifndef KVD_CONFIG_PRINT_H
#define KVD_CONFIG_PRINT_H
#include "options.h"

/* The mistakes, or what would be in force with where each value comes from: as --write-out says. The exit code: 0, or 1 if there are
 * mistakes. Of a config.env without --node it is the file's own names, else the settings of one member. */
int config_print_check(const struct options *options);
/* config.example.env: every setting of config.env with its default. */
void config_print_example(void);
/* kvd(8), in roff. */
void config_print_man(void);

#endif
