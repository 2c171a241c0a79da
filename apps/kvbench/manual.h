/* manual: --help, of the program and of a command, and kvbench(1), all from the tables of settings. Thread: main. */
#ifndef KVBENCH_MANUAL_H
#define KVBENCH_MANUAL_H
#include "settings.h"

void manual_help(void);
void manual_help_of(enum command command);
void manual_help_of_compare(void);
void manual_page(void); /* in roff's man */

#endif
