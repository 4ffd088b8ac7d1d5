/*
 * Our side of the namespaces: clones the child that makes them (namespace-child.c), talks with it over a control
 * socket, and takes the descriptors that it opened there.
 *
 * A process with several threads, as Node is one, may not unshare(CLONE_NEWUSER), and setns would move one thread
 * only: so a child goes, and we never leave the host's namespaces. A raw clone without CLONE_VM is a fork that runs
 * no handlers; the child works on a plan that was made before.
 */
#include "namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

/* Words of a message as JavaScript gets it: the message, how many descriptors came with it, and these. */
#define MESSAGE_WORDS (4 + 1 + NAMESPACE_DESCRIPTORS_MAX)

union descriptors_control {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int) * NAMESPACE_DESCRIPTORS_MAX)];
};

int namespace_send(int control, struct namespace_message message, const int *descriptors, int count) {
  struct iovec piece = {.iov_base = &message, .iov_len = sizeof message};
  union descriptors_control ancillary;
  struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};
  if (count > 0) {
    memset(&ancillary, 0, sizeof ancillary);
    header.msg_control = &ancillary;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr *part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(part), descriptors, sizeof(int) * (size_t)count);
  }
  for (;;) {
    if (sendmsg(control, &header, MSG_NOSIGNAL) >= 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

int namespace_receive(int control, struct namespace_message *message, int *descriptors, int *count) {
  struct iovec piece = {.iov_base = message, .iov_len = sizeof *message};
  union descriptors_control ancillary;
  struct msghdr header = {
      .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &ancillary, .msg_controllen = sizeof ancillary};
  *count = 0;
  ssize_t received = recvmsg(control, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received <= 0) return received < 0 ? -errno : 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&header); part != NULL; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    *count = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(descriptors, CMSG_DATA(part), sizeof(int) * (size_t)*count);
  }
  return (size_t)received == sizeof *message ? 1 : -EPROTO;
}

/* The next of the zero-terminated strings between *at and end; NULL when there is none. */
static const char *next_string(const char **at, const char *end) {
  const char *string = *at;
  const char *zero = string < end ? memchr(string, 0, (size_t)(end - string)) : NULL;
  if (zero == NULL) return NULL;
  *at = zero + 1;
  return string;
}

bool namespace_pairs(struct namespace_pair *pairs, int32_t count, const char **at, const char *end) {
  for (int32_t i = 0; i < count; i++) {
    pairs[i].path = next_string(at, end);
    pairs[i].value = next_string(at, end);
    if (pairs[i].path == NULL || pairs[i].value == NULL) return false;
  }
  return true;
}

uint8_t *namespace_bytes(napi_env env, napi_value value, size_t *length) {
  napi_typedarray_type type;
  void *data = NULL;
  if (napi_get_typedarray_info(env, value, &type, length, &data, NULL, NULL) != napi_ok || type != napi_uint8_array ||
      data == NULL) {
    napi_throw_type_error(env, NULL, "a Uint8Array was expected");
    return NULL;
  }
  return data;
}

/* Milliseconds of CLOCK_MONOTONIC. */
static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* poll(2) of one descriptor for reading, not shortened by signals: 1, 0 when the time is over, or -errno. */
static int wait_readable(int fd, int32_t timeout_ms) {
  int64_t deadline = now_ms() + timeout_ms;
  for (;;) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int64_t left = deadline - now_ms();
    int count = poll(&ready, 1, left > 0 ? (int)left : 0);
    if (count >= 0) return count;
    if (errno != EINTR) return -errno;
  }
}

/*
 * Clones the child; `flags` are the CLONE_NEW* of the namespaces. Its pid, or -errno. The plan's control is the
 * child's end, ours is *control.
 */
static pid_t clone_child(struct namespace_plan *plan, int32_t flags, int *control, int *pidfd) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -errno;
  plan->control = ends[1];
  *control = ends[0];
  *pidfd = -1;
  /* No signal may reach a handler of ours in the child: it would write to descriptors that we share. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  long pid = syscall(SYS_clone, (unsigned long)(uint32_t)flags | CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL, NULL);
  int error = errno;
  if (pid == 0) namespace_child(plan);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(ends[1]);
  if (pid > 0 && *pidfd >= 0) return (pid_t)pid;
  close(ends[0]);
  if (pid < 0) return -error;
  /* A kernel before 5.2 makes no descriptor. The hang-up of the control socket ends the child. */
  waitpid((pid_t)pid, NULL, __WALL);
  return -ENOSYS;
}

/*
 * namespaceClone(numbers, strings, result): 0 or -errno.
 *
 * | numbers | CLONE_NEW* flags, tap flags, bytes of the virtio-net header, count of files, count of sysctls        |
 * | strings | uid map, gid map, name of the tap, then path and content of each file, path and value of each sysctl |
 * | result  | pid, pidfd, our end of the control socket                                                            |
 */
static napi_value namespace_clone(napi_env env, napi_callback_info info) {
  napi_value values[3];
  size_t length = 0;
  struct namespace_plan plan;
  memset(&plan, 0, sizeof plan);
  if (!addon_arguments(env, info, 3, values, NULL)) return NULL;
  const int32_t *numbers = addon_words(env, values[0], 5, NULL);
  const uint8_t *strings = numbers == NULL ? NULL : namespace_bytes(env, values[1], &length);
  int32_t *result = strings == NULL ? NULL : addon_words(env, values[2], 3, NULL);
  if (result == NULL) return NULL;
  plan.tap_flags = numbers[1];
  plan.vnet_header_bytes = numbers[2];
  plan.files_count = numbers[3];
  plan.sysctls_count = numbers[4];
  const char *at = (const char *)strings, *end = at + length;
  plan.uid_map = next_string(&at, end);
  plan.gid_map = next_string(&at, end);
  plan.tap_name = next_string(&at, end);
  if (plan.tap_name == NULL || plan.files_count < 0 || plan.files_count > NAMESPACE_FILES_MAX ||
      plan.sysctls_count < 0 || plan.sysctls_count > NAMESPACE_SYSCTLS_MAX ||
      !namespace_pairs(plan.files, plan.files_count, &at, end) || !namespace_pairs(plan.sysctls, plan.sysctls_count, &at, end))
    return addon_range_error(env, "the plan of the namespace is not complete");
  int control = -1, pidfd = -1;
  pid_t pid = clone_child(&plan, numbers[0], &control, &pidfd);
  if (pid < 0) return addon_number(env, pid);
  result[0] = pid;
  result[1] = pidfd;
  result[2] = control;
  return addon_number(env, 0);
}

/*
 * namespaceReceive(control, message, timeoutMs): 1, 0 when the child is gone, -EAGAIN when the time is over, or
 * another -errno.
 */
static napi_value namespace_receive_message(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t control, timeout_ms;
  if (!addon_arguments(env, info, 3, values, NULL) || !addon_integers(env, values, 1, &control) ||
      !addon_integers(env, values + 2, 1, &timeout_ms))
    return NULL;
  int32_t *words = addon_words(env, values[1], MESSAGE_WORDS, NULL);
  if (words == NULL) return NULL;
  int ready = wait_readable(control, timeout_ms);
  if (ready <= 0) return addon_number(env, ready == 0 ? -EAGAIN : ready);
  struct namespace_message message;
  int descriptors[NAMESPACE_DESCRIPTORS_MAX];
  int count;
  int received = namespace_receive(control, &message, descriptors, &count);
  if (received == 1) {
    memcpy(words, &message, sizeof message);
    words[4] = count;
    for (int i = 0; i < count; i++) words[5 + i] = descriptors[i];
  }
  return addon_number(env, received);
}

/* namespaceSignal(control, signal): a signal for the command; 0 or -errno. */
static napi_value namespace_signal(napi_env env, napi_callback_info info) {
  int32_t arguments[2];
  if (!addon_integer_arguments(env, info, 2, arguments, NULL)) return NULL;
  struct namespace_message message = {.kind = NAMESPACE_SIGNAL, .value = arguments[1], .index = 0, .error = 0};
  return addon_number(env, namespace_send(arguments[0], message, NULL, 0));
}

/*
 * namespaceRun(control, command): hands the command over, in the layout that `read_command` of the child takes, as a
 * file: environments are larger than a message may be. 0 or -errno.
 */
static napi_value namespace_run(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t control;
  size_t length = 0;
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values, 1, &control)) return NULL;
  const uint8_t *command = namespace_bytes(env, values[1], &length);
  if (command == NULL) return NULL;
  int fd = memfd_create("tapster-command", MFD_CLOEXEC);
  if (fd < 0) return addon_result(env, fd);
  int error = 0;
  for (size_t at = 0; at < length && error == 0;) {
    ssize_t written = write(fd, command + at, length - at);
    if (written >= 0) at += (size_t)written;
    else if (errno != EINTR) error = -errno;
  }
  struct namespace_message message = {.kind = NAMESPACE_RUN, .value = 0, .index = 0, .error = 0};
  if (error == 0) error = namespace_send(control, message, &fd, 1);
  close(fd);
  return addon_number(env, error);
}

/*
 * namespaceEnd(pid, pidfd, killed, timeoutMs): kills the child if `killed` is not 0, waits until it and all that it
 * holds have ended, and reaps it. Returns the signal that ended it, 0 when it exited, -EAGAIN when the time is over
 * (a process hangs in the kernel), or another -errno.
 */
static napi_value namespace_end(napi_env env, napi_callback_info info) {
  int32_t arguments[4];
  if (!addon_integer_arguments(env, info, 4, arguments, NULL)) return NULL;
  if (arguments[2] != 0) kill(arguments[0], SIGKILL); /* not reaped yet: the number is still its own */
  int ready = wait_readable(arguments[1], arguments[3]);
  if (ready <= 0) return addon_number(env, ready == 0 ? -EAGAIN : ready);
  siginfo_t status;
  if (waitid(P_PID, (id_t)arguments[0], &status, WEXITED | WNOHANG | __WALL) < 0) return addon_result(env, -1);
  return addon_number(env, status.si_code == CLD_EXITED ? 0 : status.si_status);
}

void namespace_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "namespaceClone", namespace_clone);
  addon_function(env, exports, "namespaceReceive", namespace_receive_message);
  addon_function(env, exports, "namespaceSignal", namespace_signal);
  addon_function(env, exports, "namespaceRun", namespace_run);
  addon_function(env, exports, "namespaceEnd", namespace_end);
  netlink_register(env, exports);
  namespace_open_register(env, exports);
}
