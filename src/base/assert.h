/* assert: checks that stay on in release. A failed one is a bug: the node prints where and stops (abort).
 * fatal() is for an environment that cannot promise durability: prints path and reason, exits with FATAL_EXIT_CODE.
 * Thread: any. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#define FATAL_EXIT_CODE 3

_Noreturn void assert_fail(const char *expression, const char *file, int line, const char *function);
/* One line on stderr, then _exit(FATAL_EXIT_CODE). */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Where fatal() goes before the process ends: a simulator stops one member of many there, and does not come back. NULL = nowhere.
 * Thread: before any other starts. */
void fatal_set_handler(void (*handler)(const char *text));

#define ASSERT(condition)                                                                                              \
    (__builtin_expect(!!(condition), 1) ? (void)0 : assert_fail(#condition, __FILE__, __LINE__, __func__))
#define STATIC_ASSERT(condition, text) _Static_assert(condition, text)

#endif
