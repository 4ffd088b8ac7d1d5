/*
 * A process for one purpose, made before the engine is confined.
 *
 * It is a clone of a process with many threads: it calls only what is async-signal-safe. It keeps one capability, the
 * descriptor that leads to us and perhaps another, and no signal but SIGKILL reaches it: it ends when our end of the
 * former is closed, which is when we end, however we do.
 */
#include "small-process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Descriptors that are closed one by one where the kernel has no close_range (before 5.9). */
#define CLOSED_MAX 65536

static void close_from(int first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, ~0U, 0) == 0) return;
#endif
  struct rlimit limit = {.rlim_cur = CLOSED_MAX};
  getrlimit(RLIMIT_NOFILE, &limit);
  int end = limit.rlim_cur < CLOSED_MAX ? (int)limit.rlim_cur : CLOSED_MAX;
  for (int fd = first; fd < end; fd++) close(fd);
}

/* No other descriptor stays open. */
static bool keep_descriptors(int control, int kept) {
  /* Out of the way of the two numbers. */
  const int copy = kept < 0 ? -1 : fcntl(kept, F_DUPFD, SMALL_PROCESS_KEPT + 1);
  if (kept >= 0 && copy < 0) return false;
  if (control != SMALL_PROCESS_CONTROL && dup2(control, SMALL_PROCESS_CONTROL) < 0) return false;
  if (copy >= 0 && dup2(copy, SMALL_PROCESS_KEPT) < 0) return false;
  for (int fd = 0; fd < SMALL_PROCESS_CONTROL; fd++) close(fd);
  close_from(copy < 0 ? SMALL_PROCESS_CONTROL + 1 : SMALL_PROCESS_KEPT + 1);
  return true;
}

/* Of those that we have: without it the process has none, and does what it can. */
static bool keep_one_capability(int capability) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  memset(data, 0, sizeof data);
  if (syscall(SYS_capget, &header, data) != 0) return false;
  const __u32 kept = data[0].permitted & (1U << capability);
  memset(data, 0, sizeof data);
  data[0].effective = data[0].permitted = kept;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, data) == 0;
}

int small_process_start(void (*prepare)(void *context), void (*serve)(void *context), void *context, int kept,
                        int capability, pid_t *pid_out) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -errno;
  /* No signal may reach a handler of ours in the child, and the terminal's are not for it. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  const int error = errno;
  if (pid == 0) {
    if (prepare != NULL) prepare(context);
    if (!keep_descriptors(ends[1], kept)) _exit(1);
    if (keep_one_capability(capability)) serve(context);
    _exit(1);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(ends[1]);
  if (pid > 0) {
    if (pid_out != NULL) *pid_out = (pid_t)pid;
    return ends[0];
  }
  close(ends[0]);
  return -error;
}

int small_process_end(int control, pid_t pid, int timeout_ms) {
  shutdown(control, SHUT_WR);
  /* The process's end is closed when it has ended. What it has said before does not matter. */
  struct pollfd ended = {.fd = control, .events = 0};
  int count;
  do count = poll(&ended, 1, timeout_ms);
  while (count < 0 && errno == EINTR);
  const int error = count < 0 ? errno : count == 0 ? ETIMEDOUT : 0;
  close(control);
  if (error == 0) waitpid(pid, NULL, 0);
  return -error;
}
