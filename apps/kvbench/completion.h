/* completion: scripts by which bash and fish complete kvbench's words, from the tables of settings. Thread: main. */
#ifndef KVBENCH_COMPLETION_H
#define KVBENCH_COMPLETION_H
#include <stdbool.h>

bool completion_print(const char *shell); /* bash, fish; false: it is another one */

#endif
