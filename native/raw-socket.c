/*
 * A process of ours that opens raw sockets for echo, and nothing else: the engine has no capability to open one itself
 * any more when it needs it. See small-process.c.
 */
#include "addon.h"
#include "small-process.h"

#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* It does nothing but answer. */
#define ANSWER_TIMEOUT_MS 1000

struct answer {
  int32_t error; /* 0: a descriptor comes along */
};

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

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
  return sendmsg(SMALL_PROCESS_CONTROL, &message, MSG_NOSIGNAL) >= 0;
}

_Noreturn static void serve(void *nothing) {
  (void)nothing;
  prctl(PR_SET_NAME, "tapster-raw");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) {
    int32_t family = 0;
    ssize_t received = recv(SMALL_PROCESS_CONTROL, &family, sizeof family, 0);
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
  return addon_number(env, small_process_start(NULL, serve, NULL, -1, CAP_NET_RAW, NULL));
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
