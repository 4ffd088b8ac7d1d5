/*
 * Sockets of the UNIX domain (unix(7)), by path: those that virtual machines are attached by. Streams and datagrams;
 * descriptors that come along with bytes (SCM_RIGHTS); who is at the other end (SO_PEERCRED).
 *
 * A path is given as a string of up to 107 bytes; a longer one is -ENAMETOOLONG.
 */
#include "addon.h"
#include "socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* As many descriptors as the vhost-user protocol sends with one message. */
#define DESCRIPTORS_MAX 8

int address_from_path(napi_env env, napi_value value, struct sockaddr_un *address) {
  size_t length = 0;
  char path[4096];
  if (napi_get_value_string_utf8(env, value, path, sizeof path, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "a path was expected");
    return 1;
  }
  if (length == 0 || strlen(path) != length) return -EINVAL;
  if (length >= sizeof address->sun_path) return -ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length + 1);
  return 0;
}

/* What bind(2) and connect(2) have in common: (path, type) to the descriptor, or -errno. */
static napi_value unix_open(napi_env env, napi_callback_info info,
                            int (*call)(int fd, const struct sockaddr *address, socklen_t length), int backlog) {
  napi_value values[2];
  int32_t type;
  struct sockaddr_un address;
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values + 1, 1, &type)) return NULL;
  const int invalid = address_from_path(env, values[0], &address);
  if (invalid != 0) return invalid < 0 ? addon_number(env, invalid) : NULL;
  const int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return addon_result(env, fd);
  int result = call(fd, (const struct sockaddr *)&address, sizeof address);
  if (result == 0 && backlog > 0 && type == SOCK_STREAM) result = listen(fd, backlog);
  if (result == 0) return addon_number(env, fd);
  napi_value error = addon_result(env, -1);
  close(fd);
  return error;
}

/* unixBind(path, type): bound, and listening where it is a stream. */
static napi_value unix_bind(napi_env env, napi_callback_info info) { return unix_open(env, info, bind, 16); }

/* unixConnect(path, type): -EAGAIN when the other end's backlog is full. */
static napi_value unix_connect(napi_env env, napi_callback_info info) { return unix_open(env, info, connect, 0); }

/* unixAccept(fd): the descriptor, or -errno. */
static napi_value unix_accept(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  return addon_result(env, accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/* unixPeer(fd): the process that opened the other end, as our PID namespace counts, or -errno. 0: it is in none of ours. */
static napi_value unix_peer(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return addon_result(env, -1);
  return addon_number(env, peer.pid);
}

/*
 * unixReceive(fd, memory, at, length, descriptors: Int32Array): bytes, 0 at the end, or -errno. Word 0 of `descriptors` becomes
 * how many came along, and they follow, close-on-exec: the caller's. Those for which there was no room are closed.
 */
static napi_value unix_receive(napi_env env, napi_callback_info info) {
  napi_value values[5];
  int32_t a[4];
  struct addon *addon;
  if (!addon_arguments(env, info, 5, values, &addon) || !addon_integers(env, values, 4, a)) return NULL;
  uint8_t *bytes = memory_bytes(env, addon, a[1], a[2], a[3]);
  if (bytes == NULL) return NULL;
  size_t available = 0;
  int32_t *descriptors = addon_words(env, values[4], 1, &available);
  if (descriptors == NULL) return NULL;
  descriptors[0] = 0;
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
  struct iovec piece = {.iov_base = bytes, .iov_len = (size_t)a[3]};
  struct msghdr message = {
      .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t result;
  do result = recvmsg(a[0], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (result < 0 && errno == EINTR);
  if (result < 0) return addon_result(env, -1);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      if ((size_t)descriptors[0] + 1 < available) descriptors[++descriptors[0]] = fd;
      else close(fd);
    }
  }
  return addon_number(env, result);
}

/* unixSend(fd, memory, at, length, descriptor): bytes taken, or -errno. A descriptor of 0 and more goes along. */
static napi_value unix_send(napi_env env, napi_callback_info info) {
  int32_t a[5];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 5, a, &addon)) return NULL;
  uint8_t *bytes = memory_bytes(env, addon, a[1], a[2], a[3]);
  if (bytes == NULL) return NULL;
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec piece = {.iov_base = bytes, .iov_len = (size_t)a[3]};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (a[4] >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &a[4], sizeof(int));
  }
  ssize_t result;
  do result = sendmsg(a[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  return addon_result(env, result);
}

/* unixHungUp(fd): 1 when the other end of a connected stream is closed, whatever of it is left to be read; else 0. */
static napi_value unix_hung_up(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  /* Nothing is sent: the kernel looks first whether there is anybody. */
  const struct msghdr nothing = {0};
  const ssize_t result = sendmsg(fd, &nothing, MSG_DONTWAIT | MSG_NOSIGNAL);
  return addon_number(env, result < 0 && errno == EPIPE ? 1 : 0);
}

void unix_socket_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "unixBind", unix_bind);
  addon_function(env, exports, "unixConnect", unix_connect);
  addon_function(env, exports, "unixAccept", unix_accept);
  addon_function(env, exports, "unixPeer", unix_peer);
  addon_function(env, exports, "unixHungUp", unix_hung_up);
  addon_function(env, exports, "unixReceive", unix_receive);
  addon_function(env, exports, "unixSend", unix_send);
}
