/* Processes of ours for one purpose each, which do for a confined engine what it must not do itself. See small-process.c. */
#ifndef TAPSTER_SMALL_PROCESS_H
#define TAPSTER_SMALL_PROCESS_H

#include <sys/types.h>

/* The descriptor of the process that leads to us: SOCK_SEQPACKET. */
#define SMALL_PROCESS_CONTROL 3

/*
 * Starts a process that runs `serve` with no descriptor but SMALL_PROCESS_CONTROL, and no capability but one. Returns our
 * end, or -errno; that it is closed, by us or by our end, the process sees. `prepare` comes before, with all that we have: it may go to
 * other namespaces, and has no other way to say how it fared than `context`, of which the process has a copy. `prepare` and `pid` may be NULL.
 */
int small_process_start(void (*prepare)(void *context), void (*serve)(void *context), void *context, int capability,
                        pid_t *pid);

#endif
