/*
 * Bytes that move from one socket to another within the kernel: a pipe between both, filled from the one and emptied into the other by
 * splice(2). Pages are passed on by reference; nothing is copied, and nothing comes by here.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/*
 * pipe(bytes, ends: Int32Array): a pipe of about that size, both ends non-blocking and close-on-exec. 0 or -errno. Where a user has too many or
 * too large pipes already (/proc/sys/fs/pipe-*), the kernel's own size stays.
 *
 * | ends | where it is read, where it is written, how many pieces it holds |
 */
static napi_value splice_pipe(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t bytes;
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values, 1, &bytes)) return NULL;
  int32_t *result = addon_words(env, values[1], 3, NULL);
  if (result == NULL) return NULL;
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) return addon_result(env, -1);
  int size = fcntl(ends[1], F_SETPIPE_SZ, bytes);
  if (size < 0) size = fcntl(ends[1], F_GETPIPE_SZ);
  const long page = sysconf(_SC_PAGESIZE);
  result[0] = ends[0];
  result[1] = ends[1];
  /* A piece is a page, or a part of one, or several that lie together. */
  result[2] = size > 0 ? (int32_t)(size / page) : 1;
  return addon_number(env, 0);
}

/* splice(from, to, bytes): bytes moved, 0 at the end of the stream, or -errno. Never waits. */
static napi_value splice_bytes(napi_env env, napi_callback_info info) {
  int32_t a[3];
  if (!addon_integer_arguments(env, info, 3, a, NULL)) return NULL;
  if (a[2] < 0) return addon_range_error(env, "the length is negative");
  ssize_t result;
  do result = splice(a[0], NULL, a[1], NULL, (size_t)a[2], SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  while (result < 0 && errno == EINTR);
  return addon_result(env, result);
}

void splice_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "pipe", splice_pipe);
  addon_function(env, exports, "splice", splice_bytes);
}
