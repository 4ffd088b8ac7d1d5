/* Processes of ours for one purpose each, which do for a confined engine what it must not do itself. See small-process.c. */
#ifndef TAPSTER_SMALL_PROCESS_H
#define TAPSTER_SMALL_PROCESS_H

#include <sys/types.h>

/* The descriptor of the process that leads to us: SOCK_SEQPACKET. */
#define SMALL_PROCESS_CONTROL 3
/* That of ours which it shares, where it shares one. */
#define SMALL_PROCESS_KEPT 4

/*
 * Starts a process that runs `serve` with no capability but one, and no descriptor but SMALL_PROCESS_CONTROL and, unless
 * `kept` is -1, a copy of that as SMALL_PROCESS_KEPT. Returns our end, or -errno; that it is closed, by us or by our end,
 * the process sees. `prepare` comes before, with all that we have: it may go to other namespaces, and has no other way to
 * say how it fared than `context`, of which the process has a copy. `prepare` and `pid` may be NULL.
 */
int small_process_start(void (*prepare)(void *context), void (*serve)(void *context), void *context, int kept,
                        int capability, pid_t *pid);

/* Tells a process by our end that it is over, closes that, and waits until the process has ended: 0, or -errno. */
int small_process_end(int control, pid_t pid, int timeout_ms);

#endif
