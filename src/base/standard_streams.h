/* standard_streams: the descriptors 0, 1 and 2 belong to the standard streams, whoever started us. Where one of them is closed (`2>&-`), the
 * next file or socket would take its number, and what is printed would go there. Thread: the only one, before anything is opened. Source: the
 * rationale of exec in POSIX; libc does the same for programs with privileges. */
#ifndef BASE_STANDARD_STREAMS_H
#define BASE_STANDARD_STREAMS_H

/* Each one that is closed becomes a /dev/null of the wrong direction: reading and writing still fail, and are told as before. */
void standard_streams_reserve(void);

/* In the file of a program's main, outside of it: before what libraries do at their own start, which is before main. gRPC opens an eventfd. */
#define STANDARD_STREAMS_RESERVE_FIRST                                                                                                     \
    __attribute__((section(".preinit_array"), used)) static void (*const standard_streams_first)(void) = standard_streams_reserve

#endif
