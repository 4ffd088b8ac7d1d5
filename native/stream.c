/*
 * Bytes of connected stream sockets: looking at what arrived without taking it (peek), taking it without looking
 * (discard), both at once (receive), and sending a vector of pieces.
 *
 * Peeking is how data stays in the host socket until the guest acknowledged it. Where the kernel has SO_PEEK_OFF for
 * the socket it remembers how far we looked; elsewhere the bytes to skip are read into a scratch memory, once more
 * each time.
 */
#include "addon.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* The kernel's own bound, UIO_MAXIOV: a longer vector is sent as far as this, which for a stream is a short write. */
#define PIECES_MAX 1024

static ssize_t stream_receive_message(int fd, struct iovec *pieces, size_t count, int flags) {
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
  ssize_t result;
  do result = recvmsg(fd, &message, flags | MSG_DONTWAIT);
  while (result < 0 && errno == EINTR);
  return result;
}

/*
 * Peeks behind `skip` bytes. Where nothing lies there, the kernel answers with those bytes alone, whether the stream
 * has ended or not: the hang-up of our reading side tells. It is asked before the second look, for bytes could arrive
 * in between and none after it.
 */
static ssize_t stream_peek_behind(int fd, struct iovec *pieces, size_t count) {
  const ssize_t skip = (ssize_t)pieces[0].iov_len;
  ssize_t result = stream_receive_message(fd, pieces, count, MSG_PEEK);
  if (result > skip || result < 0) return result < 0 ? result : result - skip;
  struct pollfd ended = {.fd = fd, .events = POLLRDHUP};
  if (poll(&ended, 1, 0) == 1 && (ended.revents & (POLLRDHUP | POLLHUP)) != 0) {
    result = stream_receive_message(fd, pieces, count, MSG_PEEK);
    if (result < 0) return result;
    return result > skip ? result - skip : 0;
  }
  errno = EAGAIN;
  return -1;
}

/* Peeks to the `count` pieces behind the first one, whose place is for the bytes to skip: so many of the memory `scratch`. */
static napi_value stream_peek_to(napi_env env, struct addon *addon, int fd, struct iovec *pieces, size_t count,
                                 int32_t skip, int32_t scratch) {
  if (skip <= 0) return addon_result(env, stream_receive_message(fd, pieces + 1, count, MSG_PEEK));
  pieces[0].iov_base = memory_bytes(env, addon, scratch, 0, skip);
  pieces[0].iov_len = (size_t)skip;
  if (pieces[0].iov_base == NULL) return NULL;
  return addon_result(env, stream_peek_behind(fd, pieces, count + 1));
}

/* peek(fd, memory, at, length, skip, scratch) */
static napi_value stream_peek(napi_env env, napi_callback_info info) {
  int32_t a[6];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 6, a, &addon)) return NULL;
  uint8_t *bytes = memory_bytes(env, addon, a[1], a[2], a[3]);
  if (bytes == NULL) return NULL;
  struct iovec pieces[2] = {{.iov_base = NULL, .iov_len = 0}, {.iov_base = bytes, .iov_len = (size_t)a[3]}};
  return stream_peek_to(env, addon, a[0], pieces, 1, a[4], a[5]);
}

#define PIECE_WORDS 3

/*
 * The pieces of a vector, three words each: the memory, where in it, bytes. Those beyond `most` are left out. Returns how
 * many they are, or -1 with an exception.
 */
static int32_t stream_pieces(napi_env env, struct addon *addon, int32_t vector, int32_t at, int32_t count,
                             struct iovec *pieces, int32_t most) {
  const int32_t *words = memory_words(env, addon, vector, at, PIECE_WORDS * (int64_t)count);
  if (words == NULL) return -1;
  const int32_t taken = count < most ? count : most;
  for (int32_t i = 0; i < taken; i++) {
    const int32_t *piece = words + (size_t)i * PIECE_WORDS;
    pieces[i].iov_base = memory_bytes(env, addon, piece[0], piece[1], piece[2]);
    pieces[i].iov_len = (size_t)piece[2];
    if (pieces[i].iov_base == NULL) return -1;
  }
  return taken;
}

/* peekVector(fd, vector, vectorAt, count, skip, scratch) */
static napi_value stream_peek_vector(napi_env env, napi_callback_info info) {
  int32_t a[6];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 6, a, &addon)) return NULL;
  struct iovec pieces[PIECES_MAX];
  const int32_t count = stream_pieces(env, addon, a[1], a[2], a[3], pieces + 1, PIECES_MAX - 1);
  return count < 0 ? NULL : stream_peek_to(env, addon, a[0], pieces, (size_t)count, a[4], a[5]);
}

/* discard(fd, length). TCP only: there MSG_TRUNC drops the bytes without copying them anywhere (tcp(7)). */
static napi_value stream_discard(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  if (a[1] < 0) return addon_range_error(env, "the length is negative");
  ssize_t result;
  do result = recv(a[0], NULL, (size_t)a[1], MSG_TRUNC | MSG_DONTWAIT);
  while (result < 0 && errno == EINTR);
  return addon_result(env, result);
}

/* receive(fd, memory, at, length) */
static napi_value stream_receive(napi_env env, napi_callback_info info) {
  int32_t a[4];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 4, a, &addon)) return NULL;
  uint8_t *bytes = memory_bytes(env, addon, a[1], a[2], a[3]);
  if (bytes == NULL) return NULL;
  ssize_t result;
  do result = recv(a[0], bytes, (size_t)a[3], MSG_DONTWAIT);
  while (result < 0 && errno == EINTR);
  return addon_result(env, result);
}

/* sendVector(fd, vector, vectorAt, count, more) */
static napi_value stream_send_vector(napi_env env, napi_callback_info info) {
  napi_value values[5];
  int32_t a[4];
  bool more;
  struct addon *addon;
  if (!addon_arguments(env, info, 5, values, &addon) || !addon_integers(env, values, 4, a)) return NULL;
  if (napi_get_value_bool(env, values[4], &more) != napi_ok) {
    napi_throw_type_error(env, NULL, "a boolean was expected");
    return NULL;
  }
  struct iovec pieces[PIECES_MAX];
  const int32_t count = stream_pieces(env, addon, a[1], a[2], a[3], pieces, PIECES_MAX);
  if (count < 0) return NULL;
  const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
  ssize_t result;
  do result = sendmsg(a[0], &message, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
  while (result < 0 && errno == EINTR);
  return addon_result(env, result);
}

void stream_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "peek", stream_peek);
  addon_function(env, exports, "peekVector", stream_peek_vector);
  addon_function(env, exports, "discard", stream_discard);
  addon_function(env, exports, "receive", stream_receive);
  addon_function(env, exports, "sendVector", stream_send_vector);
}
