/* nearest: how far apart two words are, for "did you mean": whoever asks says which words there are and how near is near enough.
 * Thread: any. Source: Wagner and Fischer, The String-to-String Correction Problem (1974). */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H
#include <stddef.h>

#define NEAREST_BYTES_MAX 64 /* of either word */

/* Insertions, deletions and substitutions of a byte that make one word of the other, whatever the case of ASCII letters;
 * SIZE_MAX if one of them is longer than NEAREST_BYTES_MAX. */
size_t nearest_distance(const char *a, const char *b);

#endif
