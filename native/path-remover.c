/*
 * A process of ours that removes a socket's path when we end, and nothing else: the engine can't change files any more when
 * it ends, and can't do anything when it is killed. See small-process.c.
 *
 * Only the socket that was there when the process was started is removed: whoever has put another in its place keeps it.
 */
#include "addon.h"
#include "small-process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* It removes one file. */
#define REMOVE_TIMEOUT_MS 1000

struct socket_path {
  char path[4096];
  dev_t device;
  ino_t inode;
};

static void serve(void *context) {
  const struct socket_path *socket = context;
  prctl(PR_SET_NAME, "tapster-path");
  char byte;
  ssize_t received;
  do received = recv(SMALL_PROCESS_CONTROL, &byte, sizeof byte, 0);
  while (received < 0 && errno == EINTR);
  struct stat found;
  if (lstat(socket->path, &found) == 0 && found.st_dev == socket->device && found.st_ino == socket->inode)
    unlink(socket->path);
  _exit(0);
}

/* pathRemover(path, pid: Int32Array): starts the process. The descriptor that it watches, or -errno; pid[0] is its number. */
static napi_value path_remover(napi_env env, napi_callback_info info) {
  napi_value values[2];
  struct addon *addon;
  size_t length = 0, words = 0;
  struct socket_path socket;
  if (!addon_arguments(env, info, 2, values, &addon)) return NULL;
  int32_t *pid = addon_words(env, values[1], 1, &words);
  if (pid == NULL) return NULL;
  if (napi_get_value_string_utf8(env, values[0], socket.path, sizeof socket.path, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "a path was expected");
    return NULL;
  }
  struct stat found;
  if (lstat(socket.path, &found) < 0) return addon_result(env, -1);
  socket.device = found.st_dev;
  socket.inode = found.st_ino;
  return addon_number(env, small_process_start(NULL, serve, &socket, -1, CAP_DAC_OVERRIDE, pid));
}

/* removePath(fd, pid): lets the process remove the path, and waits for that: 0, or -errno. Closes the descriptor. */
static napi_value path_remove(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  return addon_number(env, small_process_end(a[0], a[1], REMOVE_TIMEOUT_MS));
}

void path_remover_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "pathRemover", path_remover);
  addon_function(env, exports, "removePath", path_remove);
}
