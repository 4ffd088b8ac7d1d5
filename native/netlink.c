/*
 * A NETLINK_ROUTE socket: open, send, receive. What the messages mean is known to src/sys/netlink/ alone.
 *
 * The control plane calls these and waits for answers, a few milliseconds at most: the kernel answers a request
 * within sendmsg. The time limit is there so that a bug does not hang us.
 */
#include "namespace.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Since Linux 4.20; older headers do not have it. */
#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif
#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

/* netlinkOpen(): a descriptor in our own network namespace, or -errno. */
static napi_value netlink_open(napi_env env, napi_callback_info info) {
  (void)info;
  return addon_result(env, socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
}

/*
 * netlinkPrepare(fd): asks for the kernel's sentence with each error, for acknowledgments without the request in
 * them, and for dumps that are filtered as asked. Kernels that do not know one of these work without. Always 0.
 */
static napi_value netlink_prepare(napi_env env, napi_callback_info info) {
  static const int options[] = {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK};
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    int yes = 1;
    (void)setsockopt(fd, SOL_NETLINK, options[i], &yes, sizeof yes);
  }
  return addon_number(env, 0);
}

/* netlinkSend(fd, message): bytes, or -errno. */
static napi_value netlink_send(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  size_t length = 0;
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values, 1, &fd)) return NULL;
  const uint8_t *message = namespace_bytes(env, values[1], &length);
  if (message == NULL) return NULL;
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t sent;
  do sent = sendto(fd, message, length, MSG_NOSIGNAL, (struct sockaddr *)&kernel, sizeof kernel);
  while (sent < 0 && errno == EINTR);
  return addon_result(env, sent);
}

/*
 * netlinkReceive(fd, bytes, timeoutMs): one datagram of the kernel's; its bytes, -EMSGSIZE when it was longer than
 * the array, -EAGAIN when the time is over, or another -errno. What did not come from the kernel is passed over.
 */
static napi_value netlink_receive(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t fd, timeout_ms;
  size_t length = 0;
  if (!addon_arguments(env, info, 3, values, NULL) || !addon_integers(env, values, 1, &fd) ||
      !addon_integers(env, values + 2, 1, &timeout_ms))
    return NULL;
  uint8_t *bytes = namespace_bytes(env, values[1], &length);
  if (bytes == NULL) return NULL;
  for (;;) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int count = poll(&ready, 1, timeout_ms);
    if (count < 0 && errno != EINTR) return addon_result(env, -1);
    if (count == 0) return addon_number(env, -EAGAIN);
    struct sockaddr_nl sender = {.nl_family = AF_NETLINK};
    struct iovec piece = {.iov_base = bytes, .iov_len = length};
    struct msghdr header = {.msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &piece, .msg_iovlen = 1};
    ssize_t received = recvmsg(fd, &header, MSG_DONTWAIT);
    if (received < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (received < 0) return addon_result(env, -1);
    if (sender.nl_pid != 0) continue;
    return addon_number(env, (header.msg_flags & MSG_TRUNC) != 0 ? -EMSGSIZE : received);
  }
}

void netlink_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "netlinkOpen", netlink_open);
  addon_function(env, exports, "netlinkPrepare", netlink_prepare);
  addon_function(env, exports, "netlinkSend", netlink_send);
  addon_function(env, exports, "netlinkReceive", netlink_receive);
}
