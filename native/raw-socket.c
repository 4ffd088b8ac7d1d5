/*
 * A process of ours that opens raw sockets for echo, and nothing else: the engine has no capability to open one itself
 * any more when it needs it.
 *
 * It is a clone of a process with many threads: it calls only what is async-signal-safe. It keeps one capability and
 * one descriptor, and ends when the other end of that is closed, which is when we end.
 */
#include "addon.h"

#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where the process keeps its end: behind the standard descriptors, which are closed too. */
#define CONTROL 3
/* It does nothing but answer. */
#define ANSWER_TIMEOUT_MS 1000
/* Descriptors that are closed one by one where the kernel has no close_range (before 5.9). */
#define CLOSED_MAX 65536

struct answer {
  int32_t error; /* 0: a descriptor comes along */
};

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

static void close_others(void) {
  close(0);
  close(1);
  close(2);
#ifdef SYS_close_range
  if (syscall(SYS_close_range, CONTROL + 1, ~0U, 0) == 0) return;
#endif
  struct rlimit limit = {.rlim_cur = CLOSED_MAX};
  getrlimit(RLIMIT_NOFILE, &limit);
  int end = limit.rlim_cur < CLOSED_MAX ? (int)limit.rlim_cur : CLOSED_MAX;
  for (int fd = CONTROL + 1; fd < end; fd++) close(fd);
}

static bool keep_one_capability(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  memset(data, 0, sizeof data);
  data[0].effective = data[0].permitted = 1U << CAP_NET_RAW;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, data) == 0;
}

static bool answer_with(int fd, int error) {
  struct answer answer = {.error = error};
  struct iovec part = {.iov_base = &answer, .iov_len = sizeof answer};
  union control control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return sendmsg(CONTROL, &message, MSG_NOSIGNAL) >= 0;
}

_Noreturn static void serve(int control) {
  if (control != CONTROL && dup2(control, CONTROL) < 0) _exit(1);
  close_others();
  prctl(PR_SET_NAME, "tapster-raw");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!keep_one_capability()) _exit(1);
  for (;;) {
    int32_t family = 0;
    ssize_t received = recv(CONTROL, &family, sizeof family, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) _exit(0);
    int fd = -1, error = EINVAL;
    if (received == sizeof family && (family == AF_INET || family == AF_INET6)) {
      fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
      error = fd < 0 ? errno : 0;
    }
    if (!answer_with(fd, error)) _exit(1);
    if (fd >= 0) close(fd);
  }
}

/* rawSocketServer(): starts the process. The descriptor that it is asked by, or -errno; it ends when that is closed. */
static napi_value raw_socket_server(napi_env env, napi_callback_info info) {
  (void)info;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return addon_result(env, -1);
  /* No signal may reach a handler of ours in the child, and the terminal's are not for it. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  int error = errno;
  if (pid == 0) serve(ends[1]);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(ends[1]);
  if (pid > 0) return addon_number(env, ends[0]);
  close(ends[0]);
  return addon_number(env, -error);
}

/* rawSocket(server, family): a raw socket for ICMP or ICMPv6, or -errno. */
static napi_value raw_socket_open(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  if (send(a[0], &a[1], sizeof a[1], MSG_NOSIGNAL) < 0) return addon_result(env, -1);
  struct pollfd ready = {.fd = a[0], .events = POLLIN};
  int count;
  do count = poll(&ready, 1, ANSWER_TIMEOUT_MS);
  while (count < 0 && errno == EINTR);
  if (count <= 0) return addon_number(env, count == 0 ? -ETIMEDOUT : -errno);
  struct answer answer = {.error = EPIPE};
  struct iovec part = {.iov_base = &answer, .iov_len = sizeof answer};
  union control control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t received = recvmsg(a[0], &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (received < 0) return addon_result(env, -1);
  const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (answer.error != 0 || header == NULL || header->cmsg_type != SCM_RIGHTS)
    return addon_number(env, answer.error != 0 ? -answer.error : -EPIPE);
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return addon_number(env, fd);
}

void raw_socket_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "rawSocketServer", raw_socket_server);
  addon_function(env, exports, "rawSocket", raw_socket_open);
}
