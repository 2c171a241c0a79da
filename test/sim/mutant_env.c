/* mutant_env: linked into every test program of the simulator's build: before main, KVD_MUTANT=P7 plants that bug, and KVD_BUGGIFY=SEED lets
 * what is rare happen. Programs with threads must not be given the second. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buggify.h"
#include "base/mutant.h"

#define USAGE_EXIT 64 /* told apart from every way in which a test fails */

__attribute__((constructor)) static void read_environment(void)
{
    const char *mutant = getenv("KVD_MUTANT"), *seed = getenv("KVD_BUGGIFY");
    if (!mutant_choose(mutant)) {
        fprintf(stderr, "no such mutant: %s\n", mutant);
        _exit(USAGE_EXIT);
    }
    if (seed != NULL) buggify_start(strtoull(seed, NULL, 10));
}
